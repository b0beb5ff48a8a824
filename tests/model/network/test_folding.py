"""Folded and as it was, a network says the same."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from model.architectures import ARCHITECTURES, architecture
from model.network.backbones import build_backbone
from model.network.folding import fold_norms


def vary(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
            for values, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
            ):
                assert values is not None
                values.data.uniform_(low, high)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", sorted({architecture(name).backbone for name in ARCHITECTURES}, key=str), ids=str)
@pytest.mark.filterwarnings("ignore:Named tensors")
def test_the_maps_are_the_same_and_no_norm_is_left(name, frozen: bool):
    backbone = build_backbone(replace(name, frozen_norm=frozen)).eval()
    vary(backbone)
    pictures = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        expected = backbone(pictures)
        fold_norms(backbone)
        found = backbone(pictures)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * float(theirs.abs().max()))
    assert not [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d | FrozenBatchNorm2d)]
