"""The main job on the shipped weights: photographs in, ranked boxes out, whoever else asks at the same time."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import detection

from tests.e2e.conftest import boxes_of, run_rpn, serving
from tests.scenes import draw_scene

pytestmark = pytest.mark.e2e


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_photograph_comes_back_as_ranked_boxes(server: str, photographs: dict[str, bytes]):
    answer = httpx.post(f"{server}/propose", files={"image": photographs["coffee"]}).json()
    assert answer["model"]["name"] == "general"
    assert answer["image"] == {"width": 600, "height": 400, "exif_orientation": 1}
    assert answer["count"] == len(answer["proposals"]) == 300
    scores = [p["score"] for p in answer["proposals"]]
    assert scores == sorted(scores, reverse=True)
    boxes = np.array(boxes_of(answer))
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [600, 400]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what a process has loaded")
@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_only_a_process_that_computes_with_torch_has_loaded_it(tmp_path: Path, runtime: str):
    with serving(tmp_path / "log", RPN_RUNTIME=runtime, RPN_DEVICE="cpu", RPN_PRECISION="fp32") as (process, address):
        assert httpx.get(f"{address}/models").json()["models"][0]["runtime"] == f"{runtime} fp32"
        loaded = Path(f"/proc/{process.pid}/maps").read_text()
    assert ("libtorch" in loaded) == (runtime == "torch")
    assert ("openvino" in loaded) == (runtime == "openvino")


def test_the_network_is_trained(server: str, photographs: dict[str, bytes]):
    """Of its ten best boxes one must cover the cat, which fills most of the photograph."""
    answer = httpx.post(f"{server}/propose?top_n=10", files={"image": photographs["cat"]}).json()
    cat = np.array([60.0, 5, 450, 300])
    assert max(iou(np.array(box), cat) for box in boxes_of(answer)) > 0.5


def test_each_shipped_model_answers_by_its_name(server: str, photographs: dict[str, bytes]):
    """Among the ten best boxes are the astronaut's face, a small part of the photograph, and herself, most of it."""
    face, person = np.array([170.0, 65, 280, 210]), np.array([10.0, 5, 440, 511])
    for name, wanted in (("general", person), ("pedestrian", person), ("face", face)):
        answer = httpx.post(f"{server}/propose?model={name}&top_n=10", files={"image": photographs["astronaut"]}).json()
        assert answer["model"]["name"] == name
        assert max(iou(np.array(box), wanted) for box in boxes_of(answer)) > 0.5, name


def iou(first: np.ndarray, second: np.ndarray) -> float:
    sides = np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None)
    areas = [np.prod(b[2:] - b[:2]) for b in (first, second)]
    return float(np.prod(sides) / (sum(areas) - np.prod(sides)))


def test_eight_clients_at_once_get_what_each_gets_alone(server: str, photographs: dict[str, bytes]):
    pictures = [photographs[name] for name in ("astronaut", "cat", "coffee")]
    pictures += [
        encoded(draw_scene(seed, width, height)[0], "PNG")
        for seed, width, height in ((1, 640, 480), (2, 480, 640), (3, 600, 400), (4, 1200, 500), (5, 64, 64))
    ]
    with httpx.Client(base_url=server, timeout=120) as client:
        alone = [client.post("/propose", content=data).json() for data in pictures]
        with ThreadPoolExecutor(8) as pool:
            for _ in range(4):
                together = list(pool.map(lambda data: client.post("/propose", content=data).json(), pictures))
                for one, other in zip(alone, together, strict=True):
                    assert one["image"] == other["image"]
                    assert one["count"] == other["count"]
                    np.testing.assert_allclose(boxes_of(other)[:50], boxes_of(one)[:50], atol=0.5)


def test_the_command_line_gives_the_same_boxes(server: str, photographs: dict[str, bytes], tmp_path: Path):
    (tmp_path / "cat.jpg").write_bytes(photographs["cat"])
    served = httpx.post(f"{server}/propose?top_n=20", files={"image": photographs["cat"]}).json()
    done = run_rpn("propose", str(tmp_path / "cat.jpg"), "-o", str(tmp_path / "cat.json"), "--top-n", "20")
    assert done.returncode == 0, done.stderr
    written = httpx.Response(200, content=(tmp_path / "cat.json").read_bytes()).json()
    assert written["proposals"] == served["proposals"]
    assert written["model"] == served["model"]


def test_the_same_picture_in_every_lossless_format_gives_the_same_boxes(server: str):
    picture = draw_scene(7, 320, 240)[0]
    kinds = {"PNG": {}, "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True}}
    with httpx.Client(base_url=server, timeout=60) as client:
        answers = {
            kind: client.post("/propose?top_n=50", content=encoded(picture, kind, **options)).json()
            for kind, options in kinds.items()
        }
    for kind, answer in answers.items():
        assert answer["proposals"] == answers["PNG"]["proposals"], kind


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_photograph_is_answered_upright(server: str, photographs: dict[str, bytes], orientation: int):
    upright = Image.open(io.BytesIO(photographs["coffee"]))
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that EXIF says to undo
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(turn[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    with httpx.Client(base_url=server, timeout=60) as client:
        plain = client.post("/propose?top_n=5", content=encoded(upright, "PNG")).json()
        turned = client.post("/propose?top_n=5", content=encoded(stored, "PNG", exif=exif)).json()
    assert turned["image"] == {"width": 600, "height": 400, "exif_orientation": orientation}
    assert turned["proposals"] == plain["proposals"]


def test_several_pictures_each_get_a_result_or_a_problem(server: str, photographs: dict[str, bytes]):
    files = [
        ("image", ("cat.jpg", photographs["cat"])),
        ("image", ("notes.txt", b"hello")),
        ("image", ("half.jpg", photographs["coffee"][:20_000])),
    ]
    answer = httpx.post(f"{server}/propose", files=files, timeout=60).json()
    good, text, half = answer["results"]
    assert good["count"] == 300
    assert (text["status"], text["code"], text["filename"]) == (415, "unsupported_format", "notes.txt")
    assert (half["status"], half["code"], half["index"]) == (422, "undecodable_image", 2)


def test_what_it_says_of_itself(server: str):
    assert httpx.get(f"{server}/healthz").status_code == 200
    models = httpx.get(f"{server}/models").json()
    assert models["default"] == "general"
    assert [card["name"] for card in models["models"]] == ["general", "pedestrian", "face"]
    assert all(card["metrics"] for card in models["models"])
    assert httpx.get(f"{server}/docs").status_code == 200


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "truncated"),
        (b"\x80\x04K\x01.", "pickle"),
        (b"<html>" + bytes(99), "not a safetensors"),
    ],
)
def test_weights_that_cannot_be_used_end_start_up_with_one_line(tmp_path: Path, content: bytes | None, reason: str):
    path = tmp_path / "broken.safetensors"
    if content is not None:
        path.write_bytes(content)
    done = run_rpn("serve", "--port", "0", RPN_MODELS=f"broken={path}", RPN_LOG_LEVEL="error")
    assert done.returncode not in (0, -9)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("rpn: ")]
    assert str(path) in line
    assert reason in line
    assert "Traceback" not in done.stderr


def test_several_models_from_one_process(tmp_path: Path, photographs: dict[str, bytes]):
    shipped = Path(__file__).parents[2] / "weights" / "general.safetensors"
    peer = detection.fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
    torch.save(peer.state_dict(), tmp_path / "peer.pth")
    imported = tmp_path / "peer.safetensors"
    command = ["weights", "import", str(tmp_path / "peer.pth"), "--out", str(imported)]
    assert run_rpn(*command, "--architecture", "rpn_mobilenet_v3_large_320_fpn").returncode == 0
    with serving(tmp_path / "log", RPN_MODELS=f"general,copy={shipped},peer={imported}") as (_, address):
        answers = [
            httpx.post(f"{address}/propose{q}", content=photographs["cat"], timeout=60).json()
            for q in ("", "?model=general", "?model=copy")
        ]
        assert [a["model"]["name"] for a in answers] == ["general", "general", "copy"]
        assert answers[0]["proposals"] == answers[2]["proposals"]
        peers = httpx.post(f"{address}/propose?model=peer", content=photographs["cat"], timeout=60).json()
        assert peers["model"]["name"] == "peer"
        assert peers["proposals"]
        unknown = httpx.post(f"{address}/propose?model=none", content=photographs["cat"])
        assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_model")
