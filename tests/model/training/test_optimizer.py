"""What decays."""

import torch
from torch import nn

from model.training.optimizer import build_optimizer
from model.training.recipe import Recipe


def test_norms_and_biases_do_not_decay():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    optimizer = build_optimizer(network, Recipe(weight_decay=0.5, learning_rate=0.25))
    assert isinstance(optimizer, torch.optim.AdamW)
    decays = {
        id(parameter): (group["weight_decay"], group["lr"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    found = {name: decays[id(parameter)] for name, parameter in network.named_parameters()}
    assert found == {
        "0.weight": (0.5, 0.25),
        "0.bias": (0.0, 0.25),
        "1.weight": (0.0, 0.25),
        "1.bias": (0.0, 0.25),
    }
