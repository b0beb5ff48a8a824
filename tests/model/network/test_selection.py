import pytest
import torch

from model.calibration import Calibration, Curve
from model.config import AnchorConfig, SelectionConfig
from model.network import device_selection, selection
from model.network.anchors import AnchorGenerator, LevelAnchors
from model.network.rpn import ScoredAnchors
from model.network.selection import SelectedBoxes, select_proposals
from model.structures import Canvas, Selection

BOXES = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 40, 40], [90, 90, 130, 130]])
ALL = Selection(top_n=100, nms_iou=0.7)


def scored(logits: list[float] | torch.Tensor, boxes: torch.Tensor = BOXES, pictures: int = 1) -> ScoredAnchors:
    values = torch.as_tensor(logits).expand(pictures, -1).clone()
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return ScoredAnchors([values], [torch.zeros(pictures, len(boxes), 4)], [LevelAnchors(boxes, centres)])


def select(given: ScoredAnchors, selection: Selection = ALL, content=(200.0, 200.0), **config) -> SelectedBoxes:
    return select_proposals(given, torch.tensor([content]), SelectionConfig(**config), [selection])[0]


def test_ranked_with_scores_and_suppressed():
    result = select(scored([0.0, 2.0, -1.0, 1.0]))
    assert torch.equal(result.boxes, BOXES[[1, 3, 2]])  # the first overlaps the second by 0.82
    torch.testing.assert_close(result.scores, torch.tensor([2.0, 1.0, -1.0]).sigmoid())
    assert not result.truncated


def test_boxes_are_clipped_to_the_picture_not_to_the_canvas():
    result = select(scored([0.0, 0.0, 0.0, 5.0]), content=(120.0, 111.0))
    assert result.boxes[0].tolist() == [90.0, 90.0, 120.0, 111.0]


def test_anchors_in_the_padding_never_compete():
    result = select(scored([0.0, -9.0, 1.0, 5.0]), content=(50.0, 50.0), pre_nms_top_n=1)
    assert result.boxes.tolist() == [[20.0, 20.0, 40.0, 40.0]]


@pytest.mark.parametrize("convention", ["centred", "torchvision"])
@pytest.mark.parametrize("module", [selection, device_selection], ids=["host", "device"])
@pytest.mark.parametrize("content", [(1.0, 64.0), (3.0, 64.0), (64.0, 1.0), (1.0, 1.0)])
def test_of_a_strip_that_ends_before_the_first_place_something_is_left(convention, module, content):
    anchors = AnchorGenerator(AnchorConfig(sizes=((16.0,), (32.0,)), convention=convention), (8, 16))
    levels = anchors(Canvas(64, 64), ((8, 8), (4, 4)), torch.device("cpu"))
    counts = [len(level.boxes) for level in levels]
    given = ScoredAnchors([torch.zeros(1, n) for n in counts], [torch.zeros(1, n, 4) for n in counts], levels)
    (found,) = module.select_proposals(given, torch.tensor([content]), SelectionConfig(), [ALL])
    assert len(found.boxes) > 0
    assert (found.boxes[:, 2:] <= torch.tensor(content)).all()


def test_nothing_that_is_not_finite_survives():
    given = scored([torch.nan, torch.inf, 1.0, 2.0])
    given.deltas[0][0, 3, 0] = torch.nan
    result = select(given)
    assert result.boxes.tolist() == [[20.0, 20.0, 40.0, 40.0]]


def test_small_ones_and_low_scores_go():
    boxes = torch.tensor([[0.0, 0, 10, 10], [50, 50, 50.5, 90], [60, 60, 90, 90]])
    assert len(select(scored([1.0, 2.0, 3.0], boxes), min_side=1.0).scores) == 2
    assert len(select(scored([1.0, 2.0, 3.0], boxes), Selection(score_threshold=0.8)).scores) == 2
    assert len(select(scored([1.0, 2.0, 3.0], boxes), score_threshold=0.9).scores) == 1  # the model's own floor


def test_top_n_and_whether_there_was_more():
    few = select(scored([0.0, 2.0, -1.0, 1.0]), Selection(top_n=2))
    assert torch.equal(few.boxes, BOXES[[1, 3]])
    assert few.truncated
    assert not select(scored([0.0, 2.0, -1.0, 1.0]), Selection(top_n=3)).truncated


def test_each_picture_has_its_own_selection():
    given = scored([3.0, 2.0, 1.0, 0.0], pictures=3)
    wanted = [Selection(top_n=1), Selection(nms_iou=1.0), Selection(score_threshold=0.7)]
    results = select_proposals(given, torch.full((3, 2), 200.0), SelectionConfig(), wanted)
    assert [len(r.scores) for r in results] == [1, 4, 2]


def test_levels_do_not_suppress_each_other():
    level = scored([2.0, 1.0, 0.0, -1.0])
    two = ScoredAnchors(level.logits * 2, level.deltas * 2, level.anchors * 2)
    assert len(select(two).scores) == 6


def test_no_anchor_left_is_an_empty_answer():
    result = select(scored([torch.nan] * 4))
    assert result.boxes.shape == (0, 4)
    assert result.scores.shape == (0,)


def test_a_calibration_renames_the_scores_and_leaves_boxes_and_order():
    given, contents = scored([0.0, 2.0, -1.0, 1.0]), torch.tensor([[200.0, 200.0]])
    curve = Curve(1.2, 0.7, -2.0)
    (plain,) = select_proposals(given, contents, SelectionConfig(), [ALL])
    (served,) = select_proposals(given, contents, SelectionConfig(), [ALL], Calibration((curve,)))
    assert torch.equal(served.boxes, plain.boxes)
    expected = torch.from_numpy(curve.logits(plain.scores.numpy())).sigmoid()
    torch.testing.assert_close(served.scores, expected)


def test_a_callers_threshold_is_on_the_served_score_the_models_own_on_the_networks():
    given, contents = scored([0.0, 2.0, -1.0, 1.0]), torch.tensor([[200.0, 200.0]])
    curve = Calibration((Curve(1.0, 1.0, -2.0),))  # logits 2, 1, -1 are served as chances 0.5, 0.27, 0.05
    for threshold, count in ((0.51, 0), (0.49, 1), (0.26, 2), (0.0, 3)):
        wanted = Selection(score_threshold=threshold)
        (found,) = select_proposals(given, contents, SelectionConfig(), [wanted], curve)
        assert len(found.scores) == count
        assert (found.scores >= threshold).all()
    (found,) = select_proposals(given, contents, SelectionConfig(score_threshold=0.7), [ALL], curve)
    assert len(found.scores) == 2


def test_the_order_holds_to_the_last_bit():
    logits = torch.linspace(-1e-4, 1e-4, 1000)
    corners = torch.arange(1000.0)[:, None] * 20
    boxes = torch.cat([corners, corners * 0, corners + 10, corners * 0 + 10], dim=1)
    given, contents = scored(logits, boxes), torch.tensor([[30000.0, 30.0]])
    curve = Calibration((Curve(1.3, 0.6, -1),))
    (found,) = select_proposals(given, contents, SelectionConfig(), [Selection(top_n=1000)], curve)
    assert len(found.scores) == 1000
    assert (found.scores.diff() <= 0).all()
