"""Frozen norms do what norms in evaluation do, and stay as they were; what is learnt beside them is learnt."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from model.architectures import ARCHITECTURES, architecture
from model.errors import ConfigError
from model.network.backbones import build_backbone
from model.training.frozen_norms import freeze_norms
from model.training.recipe import Recipe
from tests.model.network.test_folding import vary

BACKBONES = sorted({architecture(name).backbone for name in ARCHITECTURES}, key=str)


def total(maps: list[Tensor]) -> Tensor:
    return torch.stack([level.square().mean() for level in maps]).sum()


@pytest.mark.parametrize("backbone", BACKBONES, ids=str)
@pytest.mark.filterwarnings("ignore:Named tensors")
def test_maps_and_gradients_are_those_of_norms_in_evaluation(backbone):
    expected = build_backbone(replace(backbone, frozen_norm=False)).double().eval()
    vary(expected)
    found = deepcopy(expected)
    freeze_norms(found, found.state_dict())
    found.train()
    for dropout in (module for module in found.modules() if isinstance(module, nn.Dropout)):
        dropout.eval()
    assert list(found.state_dict()) == list(expected.state_dict())
    pictures = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    for network in (expected, found):
        total(network(pictures)).backward()
    theirs = dict(expected.named_parameters())
    for name, parameter in found.named_parameters():
        if theirs[name].grad is None:
            assert parameter.grad is None, name
        else:
            torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=1e-6, atol=1e-12, msg=name)
    for ours, level in zip(found(pictures), expected(pictures), strict=True):
        torch.testing.assert_close(ours, level)


def pair(bias: bool) -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=bias), nn.BatchNorm2d(8), nn.ReLU())
    vary(network)
    return network


@pytest.mark.parametrize("bias", [False, True])
def test_statistics_stay_and_the_rest_moves(bias: bool):
    network = pair(bias)
    before = deepcopy(network.state_dict())
    freeze_norms(network, before)
    network.train()
    pictures = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(network(pictures), pair(bias).eval()(pictures))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(pictures).square().mean().backward()
    optimizer.step()
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"0.weight", "1.weight", "1.bias"} | ({"0.bias"} if bias else set())


def test_a_norm_that_follows_no_convolution_is_named():
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.BatchNorm2d(8))
    with pytest.raises(ConfigError, match="freeze_norms: 2 follows no convolution"):
        freeze_norms(network, network.state_dict())


@pytest.mark.parametrize("start", [{}, {"0.weight": None, "1.weight": None}])
def test_statistics_that_nobody_has_measured_are_not_kept(start: dict[str, None]):
    with pytest.raises(ConfigError, match="freeze_norms keeps statistics, and no checkpoint gives 1 any"):
        freeze_norms(pair(bias=False), start)


def test_norms_that_learn_together_learn():
    with pytest.raises(ConfigError, match="sync_norm is for norms that learn their statistics"):
        Recipe(sync_norm=True, freeze_norms=True)
