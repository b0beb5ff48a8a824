import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.roi_heads import fastrcnn_loss

from model.network.detector import Detected
from model.network.roi_heads import BOX_WEIGHTS
from model.network.rpn import ScoredAnchors
from model.training.roi_losses import roi_losses
from model.training.roi_sampler import RoISamples

NOTHING = ScoredAnchors([], [], [])


def detected(labels: list[int]) -> Detected[RoISamples]:
    count = len(labels)
    corners = torch.rand(2, count, 2) * 40
    rois, boxes = (torch.cat((corner, corner + 10), dim=1) for corner in corners)
    samples = RoISamples([rois[:2], rois[2:]], torch.tensor(labels, dtype=torch.int64), boxes)
    logits, deltas = torch.randn(count, 4, requires_grad=True), torch.randn(count, 16, requires_grad=True)
    return Detected(NOTHING, samples, logits, deltas)


def test_equal_to_torchvision():
    found = detected([0, 2, 1, 0, 3])
    losses = roi_losses(found)
    targets = BoxCoder(BOX_WEIGHTS).encode([found.rois.matched], [torch.cat(found.rois.boxes)])
    expected = fastrcnn_loss(found.logits, found.deltas, [found.rois.labels], list(targets))
    torch.testing.assert_close((losses.classification, losses.box), expected)


def test_only_an_objects_own_class_is_moved():
    found = detected([0, 2])
    roi_losses(found).box.backward()
    assert found.deltas.grad is not None
    assert found.deltas.grad.nonzero().tolist() == [[1, 8], [1, 9], [1, 10], [1, 11]]


def test_without_objects_and_without_rois_the_losses_are_finite():
    background = roi_losses(detected([0, 0, 0]))
    assert background.box.item() == 0
    assert background.classification.item() > 0
    nothing = roi_losses(detected([]))
    assert (nothing.classification.item(), nothing.box.item()) == (0, 0)
    (nothing.classification + nothing.box).backward()
