from dataclasses import replace

import pytest
import torch

from model.config import ModelConfig, RefinementConfig
from model.network.network import ProposalNetwork, build_network
from model.training.dataset import Batch
from model.training.refinement_loss import RefinementLosses, refinement_losses
from model.training.refinement_sampler import RefinementRules


@pytest.fixture
def config(tiny_config: ModelConfig) -> ModelConfig:
    return replace(tiny_config, refinement=RefinementConfig(proposals=40, channels=8, hidden=32))


def batch(boxes: list[list[list[float]]], ignored: list[list[float]] | None = None) -> Batch:
    padded = torch.zeros(len(boxes), max(len(b) for b in boxes), 4)
    for row, values in zip(padded, boxes, strict=True):
        row[: len(values)] = torch.tensor(values).reshape(-1, 4)
    regions = torch.tensor(ignored or []).reshape(1, -1, 4).expand(len(boxes), -1, -1)
    return Batch(
        pixels=torch.randint(0, 256, (len(boxes), 96, 96, 3), dtype=torch.uint8),
        contents=torch.full((len(boxes), 2), 96.0),
        boxes=padded,
        counts=torch.tensor([len(b) for b in boxes]),
        ignored=regions,
    )


def losses(network: ProposalNetwork, given: Batch, ignore_confident: float | None = None) -> RefinementLosses:
    assert network.refinement is not None
    scored = network(given.pixels, given.contents)
    generator = torch.Generator().manual_seed(0)
    return refinement_losses(network.refinement, scored, given, RefinementRules(), generator, ignore_confident)


BOXES = [[[10.0, 12, 50, 60], [60.0, 20, 90, 44]], [[30.0, 30, 70, 80]]]


def test_the_second_stage_learns_to_move_and_to_tell_boxes_apart(config: ModelConfig):
    network = build_network(config)
    network.eval()  # the norms' averages stay what they are, so that each step sees the same features
    given = batch(BOXES)
    assert network.refinement is not None
    optimizer = torch.optim.Adam(network.refinement.parameters(), lr=1e-2)
    history = []
    for _ in range(40):
        found = losses(network, given)
        optimizer.zero_grad()
        (found.objectness + found.box).backward()
        optimizer.step()
        history.append((found.objectness.item(), found.box.item()))
    assert history[-1][0] < 0.9 * history[0][0]
    assert history[-1][1] < 0.95 * history[0][1]


def test_confident_boxes_on_nothing_annotated_may_be_left_out(config: ModelConfig):
    network = build_network(config)
    network.eval()
    assert network.refinement is not None
    nothing = batch([[[0.0, 0, 1, 1]]])
    nothing.counts[:] = 0
    with torch.no_grad():
        network.refinement.objectness.bias.fill_(9.0)  # sure of every box
    everything, none = losses(network, nothing), losses(network, nothing, 0.9)
    assert everything.objectness.item() > 5
    assert none.objectness.item() == 0
    none.objectness.backward()
    given = batch(BOXES)
    told, spared = losses(network, given), losses(network, given, 0.9)
    assert 0 < spared.objectness < told.objectness, "those that lie on an object, or near one, are still trained on"
    assert torch.equal(spared.box, told.box)
    assert torch.equal(losses(network, given, 0.9999999).objectness, told.objectness), "no score is as high"


def test_gradients_reach_the_features_but_not_the_first_stage_s_outputs(config: ModelConfig):
    network = build_network(config)
    found = losses(network, batch(BOXES))
    (found.objectness + found.box).backward()
    assert all(p.grad is None for p in network.rpn.head.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.backbone.parameters())


def test_where_nothing_is_annotated_every_box_is_background(config: ModelConfig):
    network = build_network(config)
    assert network.refinement is not None
    bias = network.refinement.objectness.bias
    given, found = batch([[], []]), []
    for value in (-8.0, 0.0, 8.0):
        torch.nn.init.constant_(bias, value)
        result = losses(network, given)
        assert result.box.item() == 0.0
        found.append(result.objectness.item())
    assert found[0] < 0.01  # the surer it is that there is nothing, the less it has to learn
    assert found == sorted(found)
    assert found[2] > 7.0


def test_a_picture_without_boxes_costs_nothing_beside_others_where_nothing_is_proposed(config: ModelConfig):
    network = build_network(config)
    assert network.refinement is not None
    torch.nn.init.constant_(network.refinement.objectness.bias, -8.0)
    assert losses(network, batch([*BOXES, []])).objectness < losses(network, batch(BOXES)).objectness


def test_what_lies_in_a_region_to_ignore_is_not_background(config: ModelConfig):
    network = build_network(config)
    found = losses(network, batch([[]], ignored=[[0.0, 0, 96, 96]]))
    assert found.objectness.item() == 0.0
