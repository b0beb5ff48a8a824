"""Fused and as it was, a network says the same; on a CPU what is fused is computed in two steps."""

from collections import Counter
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from model.architectures import ARCHITECTURES, architecture
from model.network.depthwise import DepthwiseConv2d
from model.network.folding import fold_norms
from model.network.fused_modules import (
    ConvBias,
    ConvReLU,
    HalvingMaxPool2d,
    PointwiseConv2d,
    Pyramid,
    Residual,
    StemConv2d,
)
from model.network.fusing import fuse, fuse_depthwise
from model.network.network import ProposalNetwork, build_network
from tests.model.network.test_folding import vary
from tests.needs import needs_cuda

NAMES = [name for name in ARCHITECTURES if "101" not in name]  # which is ResNet-50's blocks again
# What a network with a pyramid has of each kind at least, three levels of it, and a ResNet more.
PYRAMID = {"Pyramid": 1, "StemConv2d": 1, "ConvBias": 3}
RESNET = {**PYRAMID, "HalvingMaxPool2d": 1}
KINDS = (
    ConvBias,
    ConvReLU,
    DepthwiseConv2d,
    HalvingMaxPool2d,
    PointwiseConv2d,
    Pyramid,
    Residual,
    StemConv2d,
)


def folded(name: str) -> ProposalNetwork:
    torch.manual_seed(0)
    network = build_network(architecture(name)).eval()
    vary(network)
    fold_norms(network)
    return network


def fused(network: ProposalNetwork) -> ProposalNetwork:
    other = deepcopy(network)
    fuse(other.backbone)
    fuse(other.rpn)
    return other


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:Named tensors")
def test_the_maps_are_the_same(name: str):
    network = folded(name)
    pictures = torch.randn(2, 3, 64, 96).contiguous(memory_format=torch.channels_last)
    other = fused(network)
    with torch.inference_mode():
        expected, found = network.score(pictures), other.score(pictures)
    theirs_all, ours_all = ((one.logits + one.deltas + one.features) for one in (expected, found))
    for ours, theirs in zip(ours_all, theirs_all, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("rpn_resnet18_fpn_cascade", {**RESNET, "ConvReLU": 18, "Residual": 8, "PointwiseConv2d": 5}),
        ("rpn_resnet16_fpn_cascade", {**RESNET, "ConvReLU": 16, "Residual": 7, "PointwiseConv2d": 5}),
        ("rpn_regnet_x_400mf_fpn_cascade", {**PYRAMID, "ConvReLU": 68, "Residual": 22, "PointwiseConv2d": 5}),
        ("rpn_resnet50_fpn", {**RESNET, "ConvBias": 4, "ConvReLU": 50, "Residual": 16, "PointwiseConv2d": 7}),
        ("rpn_mobilenet_v3_large_320_fpn", {**PYRAMID, "ConvReLU": 6, "DepthwiseConv2d": 15, "PointwiseConv2d": 45}),
    ],
)
def test_everything_that_can_be_is_fused(name: str, kinds: dict[str, int]):
    network = folded(name)
    before = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    other = fused(network)
    assert Counter(type(module).__name__ for module in other.modules() if isinstance(module, KINDS)) == kinds
    assert sum(isinstance(module, nn.Conv2d) for module in other.modules()) == before, "none is lost"


@pytest.mark.parametrize("size", [3, 7])
@pytest.mark.parametrize(("height", "width"), [(16, 20), (15, 20), (15, 21), (1, 1)])
def test_a_first_convolution_on_blocks_is_the_same_for_any_sides(size: int, height: int, width: int):
    convolution = nn.Conv2d(3, 8, size, stride=2, padding=size // 2)
    assert StemConv2d.takes(convolution)
    pictures = torch.randn(2, 3, height, width)
    with torch.inference_mode():
        found, plain = (StemConv2d.of(convolution, with_relu=relu)(pictures) for relu in (True, False))
        torch.testing.assert_close(plain, convolution(pictures), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found, convolution(pictures).relu(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(4, 8, 7, stride=2, padding=3),
        nn.Conv2d(3, 8, 7, padding=3),
        nn.Conv2d(3, 8, 5, stride=2, padding=2),
        nn.Conv2d(3, 8, 7, stride=2),
        nn.Conv2d(3, 8, (3, 7), stride=2, padding=(1, 3)),
        nn.Conv2d(3, 9, 7, stride=2, padding=3, groups=3),
    ],
)
def test_no_other_is_taken_for_a_first_convolution(other: nn.Conv2d):
    assert not StemConv2d.takes(other)


def test_a_convolution_that_cudnn_has_no_one_call_for_goes_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    layer, maps = ConvReLU(nn.Conv2d(3, 4, 3)), torch.randn(1, 3, 8, 8)

    def fails(self: ConvReLU, maps: Tensor, other: Tensor | None) -> Tensor:
        raise RuntimeError("FIND was unable to find an engine\nmore")

    monkeypatch.setattr(ConvReLU, "_by_cudnn", fails)
    monkeypatch.setattr(ConvReLU, "_can", lambda self, maps: self.in_one_call)
    for _ in range(2):
        assert torch.equal(layer(maps), layer.convolution(maps).relu())
    assert caplog.text.count("FIND was unable") == 1, "it is not tried again"


def test_depthwise_convolutions_alone():
    network = folded("rpn_mobilenet_v3_large_320_fpn")
    fuse_depthwise(network.backbone)
    found = Counter(type(module).__name__ for module in network.modules() if isinstance(module, KINDS))
    assert found == {"DepthwiseConv2d": 15}


@needs_cuda
@pytest.mark.parametrize("name", NAMES)
def test_on_a_gpu_they_are_as_near_as_its_format(name: str):
    network = folded(name).cuda()
    pictures = torch.randn(2, 3, 128, 192, device="cuda").contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = network.score(pictures)
        network.compute_in("bf16")
        plain = network.to(memory_format=torch.channels_last).score(pictures)
        found = fused(network).score(pictures)
    maps_of = [one.logits + one.deltas + one.features for one in (found, plain, expected)]
    for ours, theirs, exact in zip(*maps_of, strict=True):
        off, usual = (float((maps.float() - exact).norm() / exact.norm()) for maps in (ours, theirs))
        assert off < 1.2 * usual, "what is fused is rounded less often"
