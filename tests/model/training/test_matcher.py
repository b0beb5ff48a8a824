import torch
from torchvision.models.detection._utils import Matcher as TorchvisionMatcher
from torchvision.ops import box_iou

from model.training.matcher import Matcher, pairwise_iou

ANCHORS = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 5], [30, 30, 40, 40], [60, 60, 70, 70]])
EVERYWHERE = torch.ones(1, 5, dtype=torch.bool)
NOTHING = torch.zeros(1, 0, 4)


def labels(boxes: list[list[float]], ignored: list[list[float]] | None = None, **thresholds: float) -> list[int]:
    given = torch.tensor(boxes).reshape(1, -1, 4)
    regions = NOTHING if ignored is None else torch.tensor([ignored])
    counts = torch.tensor([given.shape[1]])
    return Matcher(**thresholds)(ANCHORS, EVERYWHERE, given, counts, regions).labels[0].tolist()


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
    matcher = Matcher()
    boxes = torch.tensor([[[0.0, 0, 10, 10], [30, 30, 40, 40]]])
    competing = torch.tensor([[True, True, True, True, False]])
    result = matcher(ANCHORS, competing, boxes, torch.tensor([1]), NOTHING)
    assert result.labels[0].tolist() == [1, 1, -1, 0, -1]
    assert result.matched[0, :2].tolist() == [0, 0]


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
        ours = Matcher()(anchors, torch.ones(1, 400, dtype=torch.bool), boxes[None], torch.tensor([6]), NOTHING)
        # torchvision: an index, or -1 for background, -2 for between
        assert torch.equal(ours.labels[0] == 0, peer == -1)
        assert torch.equal(ours.labels[0] == -1, peer == -2)
        foreground = ours.labels[0] == 1
        assert torch.equal(ours.matched[0][foreground], peer[foreground])
