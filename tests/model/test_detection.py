import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.detector import DetectorCheckpoint, save_detector
from model.config import ModelConfig
from model.detection import ObjectDetector, load_detector
from model.errors import CheckpointError, UnsupportedFormat
from model.network.detector import build_detector
from model.network.roi_heads import RoIHeadsConfig
from tests.scenes import draw_scene


@pytest.fixture
def detector(tiny_config: ModelConfig, tmp_path: Path) -> ObjectDetector:
    """Untrained, so it takes everything for something."""
    heads = RoIHeadsConfig(("cat", "dog"), width=16, score_threshold=0.0, detections=20)
    weights = build_detector(tiny_config, heads).state_dict()
    save_detector(DetectorCheckpoint(Checkpoint("tiny", "0", tiny_config, weights), heads), tmp_path / "x")
    return load_detector(tmp_path / "x", device="cpu")


@pytest.mark.parametrize("size", [(160, 120), (37, 500)])
def test_boxes_lie_in_the_picture_the_highest_score_first(detector: ObjectDetector, size: tuple[int, int]):
    found = detector.detect(draw_scene(1)[0].resize(size))
    assert len(found) == len(found.boxes) == len(found.scores) == 20
    assert (np.diff(found.scores) <= 0).all()
    assert set(found.labels) <= {"cat", "dog"}
    assert (found.boxes >= 0).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert (found.boxes[:, 2:] <= size).all()


def test_a_files_bytes_are_the_picture_in_them(detector: ObjectDetector):
    picture, _ = draw_scene(2)
    file = io.BytesIO()
    picture.save(file, "PNG")
    one, other = detector.detect(picture), detector.detect(file.getvalue())
    assert np.array_equal(one.boxes, other.boxes)
    assert one.labels == other.labels


def test_what_cannot_be_used_is_said(detector: ObjectDetector, tmp_path: Path):
    with pytest.raises(ValueError, match="the picture must be RGB, not L"):
        detector.detect(Image.new("L", (8, 8)))
    with pytest.raises(UnsupportedFormat):
        detector.detect(b"no picture")
    with pytest.raises(CheckpointError, match="No such file"):
        load_detector(tmp_path / "none")
