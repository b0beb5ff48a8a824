import torch
from torchvision.ops import generalized_box_iou_loss

from model.network.box_coding import decode_deltas
from model.training.box_loss import giou


def test_giou_is_torchvisions_and_so_is_its_gradient():
    corners = torch.rand(500, 2) * 100
    anchors = torch.cat([corners, corners + 1 + torch.rand(500, 2) * 50], dim=1)
    boxes = anchors + torch.randn(500, 1) * 30  # some meet, some do not
    boxes[:5] = anchors[:5]
    boxes[5:9, 2:] = boxes[5:9, :2]  # without area
    ours, theirs = (torch.randn(500, 4, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    ours[:5] = theirs[:5] = 0
    found = giou(ours.requires_grad_(), anchors, boxes)
    expected = generalized_box_iou_loss(decode_deltas(theirs.requires_grad_(), anchors), boxes)
    torch.testing.assert_close(found, expected)
    assert 0 < (found > 1).sum() < 500
    found.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
