"""Which objects a checkpoint misses, as a table."""

import json
from pathlib import Path

import numpy as np
import pytest

import where_missed
from model.structures import FloatArray, ImageSize, Proposals
from model.training.annotations import AnnotatedPicture
from tests.e2e.conftest import REPOSITORY
from tests.scenes import write_coco

NONE = np.zeros((0, 4), dtype=np.float32)


def boxes(*corners: tuple[float, float, float, float]) -> FloatArray:
    return np.array(corners, dtype=np.float32).reshape(-1, 4)


def picture(name: str, *corners: tuple[float, float, float, float]) -> AnnotatedPicture:
    return AnnotatedPicture(Path(name), ImageSize(320, 240), boxes(*corners), NONE)


def answer(*corners: tuple[float, float, float, float]) -> Proposals:
    return Proposals(boxes(*corners), np.linspace(1, 0, len(corners), dtype=np.float32), truncated=False)


def test_objects_are_counted_by_height_and_by_photograph():
    small, large = (10.0, 10.0, 30.0, 20.0), (100.0, 20.0, 160.0, 200.0)  # 20 and 360 pixels high at 640
    elsewhere = (200.0, 200.0, 210.0, 210.0)
    pictures = [picture("coco_1.jpg", small, large), picture("inria.jpg", large), picture("none.jpg")]
    proposals = [answer(large, *[elsewhere] * 10, small), answer(elsewhere), answer(elsewhere)]
    assert where_missed.table(proposals, pictures, ["coco_*"]).splitlines() == [
        "| | objects | found by 10 proposals | by 100 | by all |",
        "|---|---|---|---|---|",
        "| all | 3 | 0.33 | 0.67 | 0.67 |",
        "| coco_* | 2 | 0.50 | 1.00 | 1.00 |",
        "| others | 1 | 0.00 | 0.00 | 0.00 |",
        "| 16 to 24 | 1 | 0.00 | 1.00 | 1.00 |",
        "| over 160 | 2 | 0.50 | 0.50 | 0.50 |",
    ]


@pytest.mark.parametrize("kept", [[], ["images"]])
def test_a_split_without_an_object_is_one_line(kept: list[str], tmp_path: Path):
    path = write_coco(tmp_path, "val", range(2))
    content = json.loads(path.read_text())
    path.write_text(json.dumps({name: content[name] if name in kept else [] for name in content}))
    with pytest.raises(SystemExit) as ended:
        where_missed.main([str(tmp_path / "none.safetensors"), "--data", str(path)])
    assert ended.value.code == f"where_missed.py: {path}: none of its pictures has a box to find"


@pytest.mark.e2e
def test_a_checkpoint_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = str(write_coco(tmp_path, "val", range(3)))
    where_missed.main([str(REPOSITORY / "weights" / "face.safetensors"), "--data", data])
    assert "| all | " in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"where_missed\.py: .*none\.json: No such file"):
        where_missed.main([str(REPOSITORY / "weights" / "face.safetensors"), "--data", str(tmp_path / "none.json")])
