"""Fused and as it was, a network says the same; on a CPU what is fused is computed in two steps."""

from collections import Counter
from copy import deepcopy

import pytest
import torch
from torch import nn

from model.architectures import ARCHITECTURES, architecture
from model.network.depthwise import DepthwiseConv2d
from model.network.folding import fold_norms
from model.network.fused_modules import ConvReLU, PointwiseConv2d, Residual
from model.network.fusing import fuse, fuse_depthwise
from model.network.network import ProposalNetwork, build_network
from tests.model.network.test_folding import vary
from tests.needs import needs_cuda

# VGG's third and fourth dozen of millions of weights show nothing that the others do not.
NAMES = [name for name in ARCHITECTURES if "vgg" not in name and "101" not in name]
KINDS = (ConvReLU, DepthwiseConv2d, PointwiseConv2d, Residual)


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
    for ours, theirs in zip(found.logits + found.features, expected.logits + expected.features, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("rpn_resnet18_fpn_cascade", {"ConvReLU": 18, "Residual": 8, "PointwiseConv2d": 5}),
        ("rpn_regnet_x_400mf_fpn_cascade", {"ConvReLU": 68, "Residual": 22, "PointwiseConv2d": 5}),
        ("rpn_resnet50_fpn", {"ConvReLU": 50, "Residual": 16, "PointwiseConv2d": 7}),
        ("rpn_mobilenet_v3_large_320_fpn", {"ConvReLU": 6, "DepthwiseConv2d": 15, "PointwiseConv2d": 45}),
    ],
)
def test_everything_that_can_be_is_fused(name: str, kinds: dict[str, int]):
    network = folded(name)
    before = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    other = fused(network)
    assert Counter(type(module).__name__ for module in other.modules() if isinstance(module, KINDS)) == kinds
    assert sum(isinstance(module, nn.Conv2d) for module in other.modules()) == before, "none is lost"


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
    for ours, theirs, exact in zip(found.features, plain.features, expected.features, strict=True):
        off, usual = (float((maps.float() - exact).norm() / exact.norm()) for maps in (ours, theirs))
        assert off < 1.2 * usual, "what is fused is rounded less often"
