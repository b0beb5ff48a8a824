"""What is recorded is what convolutions have read."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from model.config import ModelConfig, RefinementConfig
from model.errors import ConfigError
from model.network.convolutions import Convolutions
from model.network.input_ranges import recorded_ranges
from model.network.network import ProposalNetwork, build_network


@pytest.fixture
def network(tiny_config: ModelConfig) -> ProposalNetwork:
    return build_network(tiny_config).eval()


def read_by(network: ProposalNetwork, name: str, picture: Tensor) -> list[Tensor]:
    """All that a convolution reads of a picture, a tensor for each time."""
    read: list[Tensor] = []
    module = dict(Convolutions(network).named_modules())[name]
    handle = module.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    with torch.no_grad():
        Convolutions(network)(picture)
    handle.remove()
    return read


def test_a_range_is_the_mean_of_the_pictures_extremes_over_all_levels(network: ProposalNetwork):
    pictures = [torch.randn(1, 64, 96, 3), 3 * torch.randn(1, 96, 64, 3)]
    with torch.no_grad(), recorded_ranges(network) as ranges:
        for picture in pictures:
            Convolutions(network)(picture)
    found = ranges.quantization().input_ranges
    for name in ("head.conv.0.0", "backbone.fpn.layer_blocks.0.0"):
        read = [read_by(network, name, picture) for picture in pictures]
        low = sum(min(float(level.min()) for level in levels) for levels in read) / 2
        high = sum(max(float(level.max()) for level in levels) for levels in read) / 2
        assert found[name] == pytest.approx((low, high))
    assert len(read_by(network, "head.conv.0.0", pictures[0])) > 1, "the head reads every level"


def test_every_convolution_has_one_but_that_which_reads_the_picture(network: ProposalNetwork):
    with torch.no_grad(), recorded_ranges(network) as ranges:
        Convolutions(network)(torch.randn(1, 64, 64, 3))
    found = set(ranges.quantization().input_ranges)
    convolutions = {n: m for n, m in Convolutions(network).named_modules() if isinstance(m, nn.Conv2d)}
    assert set(convolutions) - found == {n for n, m in convolutions.items() if m.in_channels == 3}
    assert len(set(convolutions) - found) == 1


def test_of_the_second_stage_the_two_layers_with_most_products_have_one(tiny_config: ModelConfig):
    network = build_network(replace(tiny_config, refinement=RefinementConfig(proposals=50, hidden=16))).eval()
    assert network.refinement is not None
    pixels = torch.zeros(1, 64, 96, 3, dtype=torch.uint8)
    with torch.no_grad(), recorded_ranges(network) as ranges:
        scored = network(pixels, torch.tensor([[96.0, 64.0]]))
        none, some = torch.zeros(0, 4), torch.tensor([[0.0, 0, 40, 30], [8, 8, 20, 60]])
        for boxes in (none, some):  # a picture may have none
            pictures = torch.zeros(len(boxes), dtype=torch.int64)
            network.refinement(scored.features, boxes, pictures, torch.zeros(len(boxes)))
    found = {name for name in ranges.quantization().input_ranges if name.startswith("refinement")}
    assert found == {"refinement.fc1", "refinement.fc2"}


def test_what_reads_one_value_alone_has_none(network: ProposalNetwork):
    with torch.no_grad():
        network.rpn.head.conv[0][0].weight.zero_()
        network.rpn.head.conv[0][0].bias.fill_(-1)  # a ReLU that never opens
    with torch.no_grad(), recorded_ranges(network) as ranges:
        Convolutions(network)(torch.randn(1, 64, 64, 3))
    found = ranges.quantization().input_ranges
    assert "head.conv.0.0" in found
    assert not {"head.cls_logits", "head.bbox_pred"} & set(found)


def test_what_runs_afterwards_is_not_recorded_and_nothing_is_no_answer(network: ProposalNetwork):
    with recorded_ranges(network) as ranges:
        pass
    with torch.no_grad():
        Convolutions(network)(torch.randn(1, 64, 64, 3))
    with pytest.raises(ConfigError, match="no layer has a range"):
        ranges.quantization()
