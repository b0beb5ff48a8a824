import pytest
import torch
from torchvision.models import detection, resnet18

from model.architectures import architecture
from model.config import BackboneConfig
from model.errors import ConfigError
from model.network.backbones import BACKBONES, build_backbone
from model.network.network import build_network


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.filterwarnings("ignore:Named tensors")
def test_maps_have_the_declared_strides_and_channels(name: str):
    backbone = build_backbone(BackboneConfig(name, fpn_channels=32)).eval()
    with torch.inference_mode():
        maps = backbone(torch.zeros(2, 3, 128, 192))
    assert len(maps) == len(backbone.strides)
    for stride, feature in zip(backbone.strides, maps, strict=True):
        assert feature.shape == (2, backbone.out_channels, 128 // stride, 192 // stride)


@pytest.mark.parametrize(
    ("ours", "peer"),
    [
        ("rpn_mobilenet_v3_large_320_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn"),
        ("rpn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_fpn"),
        ("rpn_resnet50_fpn", "fasterrcnn_resnet50_fpn"),
        ("rpn_resnet50_fpn_v2", "fasterrcnn_resnet50_fpn_v2"),
    ],
)
def test_torchvision_detection_weights_fit_by_name_and_shape(ours: str, peer: str):
    expected = getattr(detection, peer)(weights=None, weights_backbone=None).state_dict()
    expected = {k: v.shape for k, v in expected.items() if not k.startswith("roi_heads.")}
    assert {k: v.shape for k, v in build_network(architecture(ours)).state_dict().items()} == expected


def test_resnet18_is_torchvisions_and_resnet16_that_less_its_last_block():
    theirs = {f"body.{k}": v.shape for k, v in resnet18(weights=None).state_dict().items() if not k.startswith("fc.")}
    whole, less = (body_shapes(name) for name in ("resnet18_fpn", "resnet16_fpn"))
    assert whole == theirs
    assert less == {name: shape for name, shape in whole.items() if not name.startswith("body.layer4.1.")}
    assert len(less) < len(whole)


def body_shapes(name: str) -> dict[str, torch.Size]:
    weights = build_backbone(BackboneConfig(name)).state_dict()
    return {name: weight.shape for name, weight in weights.items() if name.startswith("body.")}


def test_frozen_norms_have_no_counters():
    names = build_backbone(BackboneConfig("resnet50_c4", frozen_norm=True)).state_dict()
    assert "body.bn1.running_var" in names
    assert not [name for name in names if name.endswith("num_batches_tracked")]


def test_an_unknown_backbone_is_named():
    with pytest.raises(ConfigError, match=r"backbone 'alexnet' is none of vgg16"):
        build_backbone(BackboneConfig("alexnet"))


def test_the_papers_outputs_are_18_and_36():
    head = build_network(architecture("rpn_vgg16")).rpn.head
    assert (head.conv[0][0].out_channels, head.conv[0][0].kernel_size) == (512, (3, 3))
    assert (head.cls_logits.out_channels, head.bbox_pred.out_channels) == (18, 36)
    assert build_network(architecture("rpn_vgg16_sigmoid")).rpn.head.cls_logits.out_channels == 9
