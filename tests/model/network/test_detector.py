"""The detector is torchvision's Faster R-CNN around our RPN: given one state dict, the same answers."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from torchvision.models import detection
from torchvision.models.detection.image_list import ImageList

from model.architectures import architecture
from model.config import AnchorConfig, BackboneConfig, ModelConfig, longest_side_rule
from model.errors import ConfigError
from model.network.detector import build_detector
from model.network.network import build_network
from model.network.roi_heads import RoIHeadsConfig
from model.network.rpn import ScoredAnchors
from model.network.selection import select_proposals
from model.structures import Selection

HEADS = RoIHeadsConfig(("cat", "dog"), width=16)


@dataclass
class Boxes:
    boxes: list[Tensor]


def test_torchvision_takes_our_weights_and_detects_the_same():
    heads = RoIHeadsConfig(("cat", "dog"))
    config = architecture("rpn_resnet50_fpn")
    ours = build_detector(config, heads).eval()
    peer = detection.fasterrcnn_resnet50_fpn(num_classes=3, weights=None, weights_backbone=None).eval()
    peer.load_state_dict(ours.state_dict())
    tensor, contents = torch.randn(2, 3, 128, 192), torch.tensor([[192.0, 128.0]] * 2)
    peer.roi_heads.score_thresh = ours.roi_heads.score_thresh = 0.0

    def choose(scored: ScoredAnchors) -> Boxes:
        selected = select_proposals(scored, contents, config.selection, [Selection(top_n=1000)] * 2)
        return Boxes([s.boxes for s in selected])

    with torch.inference_mode():
        features = peer.backbone(tensor)
        images = ImageList(tensor, [(128, 192)] * 2)
        proposals, _ = peer.rpn(images, features)
        expected, _ = peer.roi_heads(features, proposals, images.image_sizes)
        found = ours.detect(tensor, choose)
        boxes, scores, labels = ours.roi_heads.postprocess_detections(
            found.logits, found.deltas, found.rois.boxes, images.image_sizes
        )
    for n, answer in enumerate(expected):
        assert len(answer["boxes"]) > 10
        torch.testing.assert_close(boxes[n], answer["boxes"], rtol=0, atol=1e-3)
        torch.testing.assert_close(scores[n], answer["scores"])
        assert torch.equal(labels[n], answer["labels"])


def test_the_rpn_within_starts_and_scores_as_the_rpn_alone(tiny_config: ModelConfig):
    torch.manual_seed(3)
    alone = build_network(tiny_config).eval()
    torch.manual_seed(3)
    within = build_detector(tiny_config, HEADS).eval()
    shared = {k: v for k, v in within.state_dict().items() if not k.startswith("roi_heads.")}
    assert shared.keys() == alone.state_dict().keys()
    assert all(torch.equal(t, alone.state_dict()[n]) for n, t in shared.items())
    pixels = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    contents = torch.tensor([[96.0, 64.0], [50.0, 60.0]])
    with torch.inference_mode():
        one = alone(pixels, contents)
        other = within(pixels, contents, lambda _: Boxes([torch.tensor([[0.0, 0, 20, 20]])] * 2)).scored
    assert all(torch.equal(a, b) for a, b in zip(one.logits + one.deltas, other.logits + other.deltas, strict=True))


@pytest.mark.parametrize("backbone", ["regnet_x_400mf_fpn", "resnet50_c4"])
def test_strides_are_the_canvass_however_small_the_pictures_on_it(backbone: str):
    sizes = ((16.0,),) * (4 if backbone.endswith("fpn") else 1)
    rule = longest_side_rule(96)
    config = ModelConfig("any", BackboneConfig(backbone, fpn_channels=16), AnchorConfig(sizes=sizes), rule)
    detector = build_detector(config, HEADS).eval()
    pixels, contents = torch.zeros(1, 96, 96, 3, dtype=torch.uint8), torch.tensor([[20.0, 24.0]])
    with torch.inference_mode():
        found = detector(pixels, contents, lambda _: Boxes([torch.tensor([[0.0, 0, 20, 20], [4, 4, 18, 23]])]))
    assert found.logits.shape == (2, 3)
    assert found.deltas.shape == (2, 12)
    strides = [round(1 / scale) for scale in detector.roi_heads.box_roi_pool.scales]
    assert strides == ([8, 16, 32] if backbone.endswith("fpn") else [16])


def test_without_rois_there_is_nothing_to_say(tiny_config: ModelConfig):
    detector = build_detector(tiny_config, HEADS).eval()
    pixels, contents = torch.zeros(2, 64, 96, 3, dtype=torch.uint8), torch.full((2, 2), 64.0)
    found = detector(pixels, contents, lambda _: Boxes([torch.zeros(0, 4)] * 2))
    assert found.logits.shape == (0, 3)


BAD = [
    ({"classes": ()}, "needs at least one class"),
    ({"classes": ("cat", "cat")}, "each name once"),
    ({"width": 0}, "width and detections must be at least 1"),
    ({"score_threshold": 2.0}, r"score_threshold must lie between 0 and 1, not 2\.0"),
    ({"nms_iou": -1.0}, "nms_iou must lie between 0 and 1"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_heads_that_cannot_be_built_are_named(change: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        replace(HEADS, **change)  # type: ignore[arg-type]
