from dataclasses import replace

import pytest
import torch

from model.config import ModelConfig, RefinementConfig
from model.network.network import build_network
from model.network.proposing import first_stage, propose
from model.structures import Selection

EVERYTHING = Selection(top_n=1000, nms_iou=1.0)


@pytest.fixture
def cascade_config(tiny_config: ModelConfig) -> ModelConfig:
    return replace(tiny_config, refinement=RefinementConfig(proposals=60, channels=8, hidden=32))


def pictures(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.randint(0, 256, (count, 96, 96, 3), dtype=torch.uint8)
    return pixels, torch.tensor([[96.0, 96], [96, 70], [60, 96]])[:count]


def test_a_fresh_second_stage_keeps_the_first_one_s_boxes(cascade_config: ModelConfig):
    network = build_network(cascade_config).eval()
    assert network.refinement is not None
    torch.nn.init.zeros_(network.refinement.bbox_pred.weight)
    pixels, contents = pictures(2)
    with torch.inference_mode():
        first = first_stage(network(pixels, contents), contents, cascade_config.selection, network.refinement.config)
        last = propose(network, pixels, contents, cascade_config.selection, [EVERYTHING] * 2)
    for before, after in zip(first, last, strict=True):
        assert len(before.boxes) == len(after.boxes) <= 60
        nearest = torch.cdist(after.boxes, before.boxes, p=torch.inf).amin(dim=1)
        assert nearest.max() < 1e-3


def test_a_picture_gets_the_same_proposals_alone_and_in_a_batch(cascade_config: ModelConfig):
    network = build_network(cascade_config).eval()
    pixels, contents = pictures(3)
    with torch.inference_mode():
        together = propose(network, pixels, contents, cascade_config.selection, [Selection(top_n=20)] * 3)
        for i, expected in enumerate(together):
            [alone] = propose(
                network, pixels[i : i + 1], contents[i : i + 1], cascade_config.selection, [Selection(top_n=20)]
            )
            torch.testing.assert_close(alone.scores, expected.scores, atol=1e-4, rtol=1e-4)


def test_fewer_proposals_are_the_first_of_more(cascade_config: ModelConfig):
    network = build_network(cascade_config).eval()
    pixels, contents = pictures(1)
    with torch.inference_mode():
        [few] = propose(network, pixels, contents, cascade_config.selection, [Selection(top_n=5)])
        [many] = propose(network, pixels, contents, cascade_config.selection, [Selection(top_n=50)])
    assert torch.equal(few.boxes, many.boxes[:5])
    assert few.truncated
    assert (many.scores.diff() <= 0).all()
    assert (many.boxes[:, 2:] <= contents[0]).all()


def test_boxes_that_are_not_finite_never_come_out(cascade_config: ModelConfig):
    network = build_network(cascade_config).eval()
    assert network.refinement is not None
    torch.nn.init.constant_(network.refinement.bbox_pred.bias, torch.nan)
    pixels, contents = pictures(2)
    with torch.inference_mode():
        selected = propose(network, pixels, contents, cascade_config.selection, [EVERYTHING] * 2)
    assert [len(s.boxes) for s in selected] == [0, 0]
