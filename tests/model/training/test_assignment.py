import pytest
import torch

from model.config import AnchorConfig
from model.network.anchors import AnchorGenerator
from model.network.device_selection import _competing
from model.network.rpn import ScoredAnchors
from model.structures import Canvas
from model.training.assignment import BACKGROUND, FOREGROUND, IGNORED, Candidates
from model.training.atss import AdaptiveMatcher
from model.training.dataset import Batch

CANVAS, MAPS, STRIDES = Canvas(96, 64), ((8, 12), (4, 6)), (8, 16)


def candidates_of(contents: list[tuple[float, float]], box: list[float]) -> tuple[ScoredAnchors, Batch]:
    config = AnchorConfig(sizes=((12.0,), (30.0,)), aspect_ratios=(0.5, 1.0, 2.0), convention="centred")
    anchors = AnchorGenerator(config, STRIDES)(CANVAS, MAPS, torch.device("cpu"))
    count = len(contents)
    logits = [torch.zeros(count, len(level.boxes)) for level in anchors]
    batch = Batch(
        pixels=torch.zeros(count, CANVAS.height, CANVAS.width, 3, dtype=torch.uint8),
        contents=torch.tensor(contents),
        boxes=torch.tensor([[box]] * count),
        counts=torch.ones(count, dtype=torch.int64),
        ignored=torch.zeros(count, 0, 4),
    )
    return ScoredAnchors(logits, [], anchors), batch


def test_the_anchors_that_compete_are_those_of_service():
    """However slim a picture is, it has some."""
    contents = [(96.0, 64.0), (96.0, 40.0), (50.0, 64.0), (96.0, 3.0), (2.0, 64.0), (1.0, 1.0)]
    scored, batch = candidates_of(contents, [0.0, 0.0, 1.0, 1.0])
    competing = Candidates.of(scored, batch).competing
    first = scored.anchors[0].centres[0]
    served = torch.cat(
        [
            _competing(logits, level, batch.contents, first)
            for logits, level in zip(scored.logits, scored.anchors, strict=True)
        ],
        dim=1,
    )
    assert torch.equal(competing, served.isfinite())
    assert competing.any(dim=1).all()
    assert [int(count) for count in competing.sum(dim=1)] == [360, 216, 180, 12 * 3, 8 * 3, 3]


@pytest.mark.parametrize(
    ("content", "box"), [((96.0, 3.0), [20.0, 0.0, 40.0, 3.0]), ((3.0, 64.0), [0.0, 9.0, 3.0, 30.0])]
)
def test_a_slim_picture_s_box_has_foreground(content: tuple[float, float], box: list[float]):
    scored, batch = candidates_of([content], box)
    labels = AdaptiveMatcher()(Candidates.of(scored, batch), batch).labels
    assert (labels == FOREGROUND).any()


def test_padding_is_neither_foreground_nor_background():
    scored, batch = candidates_of([(96.0, 40.0)], [20.0, 10.0, 60.0, 40.0])
    candidates = Candidates.of(scored, batch)
    labels = AdaptiveMatcher()(candidates, batch).labels
    assert torch.equal(labels == IGNORED, ~candidates.competing)
    assert (labels == IGNORED).any()
    assert {FOREGROUND, BACKGROUND} <= set(labels[0].tolist())
