"""`rpn propose` with the fake predictor; the real one is driven in tests/e2e."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service import app, cli
from service.settings import shipped_checkpoint
from tests.service.fakes import FakePredictor, picture


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What was loaded, and how: path, device, precision, runtime, cache."""
    asked: list[tuple[object, ...]] = []

    def load(path, device, precision, runtime, cache):
        asked.append((path, device, precision, runtime, cache))
        return FakePredictor()

    monkeypatch.setattr(app, "load_predictor", load)
    return asked


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "photograph.png"
    path.write_bytes(picture(1))
    return path


def fault(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert cli.main(["propose", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def test_json_is_the_services_own_answer(photograph: Path, tmp_path: Path):
    out = tmp_path / "boxes.json"
    assert cli.main(["propose", str(photograph), "-o", str(out), "--top-n", "7", "--box-format", "cxcywh"]) == 0
    answer = json.loads(out.read_text())
    assert answer["picture"] == str(photograph)
    assert answer["image"] == {"width": 80, "height": 60, "exif_orientation": 1}
    assert (answer["count"], answer["box_format"], answer["truncated"]) == (7, "cxcywh", True)


def test_the_model_and_the_settings_reach_the_loader(
    photograph: Path, tmp_path: Path, loaded: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
):
    for name, value in (
        ("DEVICE", "cuda:1"),
        ("PRECISION", "bf16"),
        ("RUNTIME", "torch"),
        ("CACHE_DIR", str(tmp_path)),
    ):
        monkeypatch.setenv(f"RPN_{name}", value)
    for model in ([], ["--model", "face"], ["--model", "mine=/x.safetensors"]):
        assert cli.main(["propose", str(photograph), "-o", str(tmp_path / "out.json"), *model]) == 0
    assert [path for path, *_ in loaded] == [
        shipped_checkpoint("general"),
        shipped_checkpoint("face"),
        Path("/x.safetensors"),
    ]
    assert {tuple(how) for _, *how in loaded} == {("cuda:1", "bf16", "torch", tmp_path)}


def test_boxes_can_be_shares_of_the_picture_and_low_ones_left_out(photograph: Path, tmp_path: Path):
    out = tmp_path / "boxes.json"
    assert cli.main(["propose", str(photograph), "-o", str(out), "--normalized", "--score-threshold", "0.9"]) == 0
    proposals = json.loads(out.read_text())["proposals"]
    assert 0 < len(proposals) < 300
    assert all(proposal["score"] >= 0.9 for proposal in proposals)
    assert all(0 <= side <= 1 for proposal in proposals for side in proposal["box"])


def test_a_drawing_is_the_picture_with_boxes_on_it(photograph: Path, tmp_path: Path):
    out = tmp_path / "boxes.png"
    assert cli.main(["propose", str(photograph), "-o", str(out), "--top-n", "3"]) == 0
    drawn, plain = (np.asarray(Image.open(p).convert("RGB")) for p in (out, photograph))
    assert drawn.shape == plain.shape
    assert 0 < (drawn != plain).any(axis=2).mean() < 0.9


def test_several_pictures_a_line_each_or_a_file_each(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    second = tmp_path / "second.png"
    second.write_bytes(picture(2, 30, 90))
    assert cli.main(["propose", str(photograph), str(second)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["image"]["width"] for line in lines] == [80, 30]
    folder = tmp_path / "drawn"
    folder.mkdir()
    assert cli.main(["propose", str(photograph), str(second), "-o", str(folder)]) == 0
    assert sorted(p.name for p in folder.iterdir()) == ["photograph.proposals.png", "second.proposals.png"]


def test_no_picture_is_drawn_over(photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    before = photograph.read_bytes()
    assert "is one of the pictures" in fault(capsys, photograph, "-o", tmp_path / "." / photograph.name)
    other = tmp_path / "other"
    other.mkdir()
    (other / "photograph.jpg").write_bytes(picture(2, kind="JPEG"))
    said = fault(capsys, photograph, other / "photograph.jpg", "-o", other)
    assert "photograph.png and " in said
    assert "would both be drawn to" in said
    drawing = tmp_path / "photograph.proposals.png"
    drawing.write_bytes(before)
    assert "is one of the pictures" in fault(capsys, photograph, drawing, "-o", tmp_path)
    assert drawing.read_bytes() == before
    assert cli.main(["propose", str(photograph), "-o", str(tmp_path)]) == 0
    assert photograph.read_bytes() == before


def test_what_cannot_be_done_is_one_line(photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no picture")
    assert "none.jpg: No such file" in fault(capsys, tmp_path / "none.jpg")
    assert "broken.jpg: the JPEG" in fault(capsys, broken)
    assert "boxes.gif: the result is written as" in fault(capsys, photograph, "-o", tmp_path / "boxes.gif")
    assert "is not there" in fault(capsys, photograph, "-o", tmp_path / "none" / "boxes.png")
    assert "2 pictures do not go into one file" in fault(capsys, photograph, photograph, "-o", tmp_path / "b.png")
    assert "--nms-iou: " in fault(capsys, photograph, "--nms-iou", "2")
    assert "--top-n: at most 1000, RPN_MAX_TOP_N, not 5000" in fault(capsys, photograph, "--top-n", "5000")
    assert "--out names nothing" in fault(capsys, photograph, "-o", "")
    wide = tmp_path / "wide.png"
    Image.new("RGB", (17_000, 8)).save(wide)
    assert "wide.webp: encoding error" in fault(capsys, wide, "-o", tmp_path / "wide.webp")
    assert "--model: " in fault(capsys, photograph, "--model", "a b")
