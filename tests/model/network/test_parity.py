"""Of one imported state dict and one input tensor our proposals are torchvision's: same boxes, same order, fp32."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import detection
from torchvision.models.detection.image_list import ImageList

from model.checkpoints.restore import restore_network
from model.checkpoints.torchvision_weights import import_torchvision
from model.network import device_selection
from model.network.selection import select_proposals
from model.structures import Selection

PAIRS = [
    ("rpn_resnet50_fpn", "fasterrcnn_resnet50_fpn", 0),
    ("rpn_resnet50_fpn_v2", "fasterrcnn_resnet50_fpn_v2", 0),
    ("rpn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_fpn", 0),
    ("rpn_mobilenet_v3_large_320_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn", 0),
    ("rpn_mobilenet_v3_large_320_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn", 1),
]
# Two units in the last place of a score, at most 1.
_LAST_BITS = 2 * 2.0**-24
# (height, width, pictures)
SHAPES = [(320, 320, 2), (256, 416, 3), (320, 480, 1), (224, 352, 2)]


@pytest.mark.parametrize(("ours", "theirs", "seed"), PAIRS)
def test_proposals_are_those_of_torchvision(ours: str, theirs: str, seed: int, tmp_path: Path):
    torch.manual_seed(seed)
    peer = getattr(detection, theirs)(weights=None, weights_backbone=None)
    spread(peer)
    file = tmp_path / "peer.pth"
    torch.save(peer.state_dict(), file)
    checkpoint = import_torchvision(file, architecture_name=ours)
    config, network = checkpoint.config, restore_network(checkpoint, file)
    selection = Selection(top_n=config.selection.post_nms_top_n, nms_iou=peer.rpn.nms_thresh)
    for height, width, pictures in SHAPES:
        tensor = torch.randn(pictures, 3, height, width)
        with torch.inference_mode():
            expected, _ = peer.rpn(ImageList(tensor, [(height, width)] * pictures), peer.backbone(tensor))
            contents = torch.tensor([[width, height]] * pictures, dtype=torch.float32)
            arguments = (network.score(tensor), contents, config.selection, [selection] * pictures)
            results, in_torch = select_proposals(*arguments), device_selection.select_proposals(*arguments)
        for theirs_boxes, ranked, result in zip(expected, in_torch, results, strict=True):
            assert len(theirs_boxes) > 50
            # NumPy's sigmoid and torch's may differ in the last bit: which scores are one is torch's to say.
            torch.testing.assert_close(result.scores, ranked.scores, rtol=0, atol=_LAST_BITS)
            theirs_in_order = in_order(theirs_boxes, ranked.scores)
            for boxes, scores in ((ranked.boxes, ranked.scores), (result.boxes, result.scores)):
                assert boxes.shape == theirs_boxes.shape
                torch.testing.assert_close(in_order(boxes, ranked.scores), theirs_in_order, rtol=0, atol=1e-3)
                assert (scores.diff() <= 0).all()
                assert scores.unique().numel() > 30, "the scores must tell the boxes apart"


def in_order(boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """The boxes as they are ranked, but from left to right where float32 gives several one score: torch.sort and
    torch.topk leave such in no particular order."""
    return boxes[np.lexsort((boxes[:, 0].numpy(), -scores.numpy()))]


def spread(peer: torch.nn.Module) -> None:
    """Make a random network's answers varied: fit its batch norms to noise, and let its head say more than 0.5."""
    peer.train()
    for module in peer.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain average
    with torch.no_grad():
        features = peer.backbone(torch.randn(2, 3, 256, 256))
        for layer in (peer.rpn.head.cls_logits, peer.rpn.head.bbox_pred):
            hidden = peer.rpn.head.conv(features["0"])
            layer.weight /= layer(hidden).std() * 2
    peer.eval()
