import pytest
import torch
from torchvision.models.detection._utils import Matcher as TorchvisionMatcher
from torchvision.ops import box_iou

from model.errors import ConfigError
from model.training.assignment import Assignment, Candidates, pairwise_iou
from model.training.dataset import Batch
from model.training.matcher import Matcher

ANCHORS = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 5], [30, 30, 40, 40], [60, 60, 70, 70]])


def assign(
    boxes: list[list[float]],
    ignored: list[list[float]] | None = None,
    *,
    matcher: Matcher | None = None,
    anchors: torch.Tensor = ANCHORS,
    competing: list[bool] | None = None,
    count: int | None = None,
    content: float = 100.0,
) -> Assignment:
    given = torch.tensor(boxes).reshape(1, -1, 4)
    batch = Batch(
        pixels=torch.zeros(1, 1, 1, 3, dtype=torch.uint8),
        contents=torch.full((1, 2), content),
        boxes=given,
        counts=torch.tensor([given.shape[1] if count is None else count]),
        ignored=torch.tensor(ignored or []).reshape(1, -1, 4),
    )
    candidates = Candidates(
        anchors=anchors,
        centres=(anchors[:, :2] + anchors[:, 2:]) / 2,
        levels=(len(anchors),),
        at_place=(1,),
        competing=torch.ones(1, len(anchors), dtype=torch.bool) if competing is None else torch.tensor([competing]),
        contents=batch.contents,
    )
    return (matcher or Matcher())(candidates, batch)


def labels(boxes: list[list[float]], ignored: list[list[float]] | None = None, **thresholds: float) -> list[int]:
    return assign(boxes, ignored, matcher=Matcher(**thresholds)).labels[0].tolist()


def test_foreground_background_and_between_by_hand():
    # IoU with the first box: 1, 0.8, 0.5, 0, 0; the second box is best covered, poorly, by the fourth anchor
    assert labels([[0, 0, 10, 10], [32, 32, 46, 46]]) == [1, 1, -1, 1, 0]


def test_the_thresholds_are_settable():
    assert labels([[0, 0, 10, 10]], foreground_iou=0.9) == [1, -1, -1, 0, 0]
    assert labels([[0, 0, 10, 10]], background_iou=0.6) == [1, 1, 0, 0, 0]


def test_the_best_anchor_of_a_box_is_foreground_however_poor():
    assert labels([[66, 66, 90, 90]]) == [0, 0, 0, 0, 1]


def test_a_box_that_no_anchor_touches_makes_no_foreground():
    assert labels([[200, 200, 210, 210]]) == [0, 0, 0, 0, 0]


def test_a_picture_without_boxes_is_all_background():
    assert labels([]) == [0, 0, 0, 0, 0]


def test_regions_to_ignore_are_no_background_but_do_not_hide_foreground():
    assert labels([[0, 0, 10, 10]], ignored=[[0, 0, 45, 45]]) == [1, 1, -1, -1, 0]


def test_padding_rows_are_no_boxes_and_padding_anchors_no_background():
    boxes = [[0.0, 0, 10, 10], [30, 30, 40, 40]]
    result = assign(boxes, competing=[True, True, True, True, False], count=1)
    assert result.labels[0].tolist() == [1, 1, -1, 0, -1]
    assert result.matched[0, :2].tolist() == [0, 0]


def test_anchors_across_the_border_are_not_trained_where_the_rule_says_so():
    anchors = torch.tensor([[0.0, 0, 10, 10], [-3, 0, 7, 10], [60, 60, 70, 73]])
    boxes = [[0.0, 0, 7, 10]]
    assert assign(boxes, anchors=anchors, content=70).labels[0].tolist() == [1, 1, 0]
    straddling = [
        assign(boxes, anchors=anchors, content=70, matcher=Matcher(straddle=pixels)).labels[0].tolist()
        for pixels in (0.0, 2.0, 3.0)
    ]
    assert straddling == [[1, -1, -1], [1, -1, -1], [1, 1, 0]]


def test_thresholds_that_cross_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"background_iou <= foreground_iou <= 1, not 0.8 and 0.5"):
        Matcher(foreground_iou=0.5, background_iou=0.8)


def test_overlaps_of_a_batch_are_those_of_its_pictures():
    generator = torch.Generator().manual_seed(0)
    boxes, anchors = torch.rand(3, 5, 4, generator=generator) * 40, torch.rand(50, 4, generator=generator) * 40
    for each in (boxes, anchors):
        each[..., 2:] += each[..., :2]
    found = pairwise_iou(boxes, anchors)
    assert torch.equal(found, torch.cat([pairwise_iou(one[None], anchors) for one in boxes]))
    assert pairwise_iou(boxes[:, :0], anchors).shape == (3, 0, 50)


def test_equal_to_torchvision_on_random_boxes():
    generator = torch.Generator().manual_seed(0)
    anchors = torch.rand(400, 4, generator=generator) * 80
    anchors[:, 2:] += anchors[:, :2] + 4
    for _ in range(10):
        boxes = torch.rand(6, 4, generator=generator) * 80
        boxes[:, 2:] += boxes[:, :2] + 4
        iou = box_iou(boxes, anchors)
        torch.testing.assert_close(pairwise_iou(boxes[None], anchors)[0], iou)
        peer = TorchvisionMatcher(0.7, 0.3, allow_low_quality_matches=True)(iou)
        ours = assign(boxes.tolist(), anchors=anchors)
        # torchvision: an index, or -1 for background, -2 for between
        assert torch.equal(ours.labels[0] == 0, peer == -1)
        assert torch.equal(ours.labels[0] == -1, peer == -2)
        foreground = ours.labels[0] == 1
        assert torch.equal(ours.matched[0][foreground], peer[foreground])


@pytest.mark.parametrize("straddle", [-3.0, float("nan"), float("inf")])
def test_a_border_that_cannot_be_is_refused(straddle: float):
    with pytest.raises(ConfigError, match=f"straddle must be at least 0 pixels and finite, not {straddle}"):
        Matcher(straddle=straddle)
