"""What an accelerator computes: on the CPU here, beside what a CPU's own way finds."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from model import calibration
from model.calibration import Calibration, Curve
from model.config import ModelConfig, OverlapPenalty, RefinementConfig
from model.network.cuda_suppression import can_suppress
from model.network.device_proposing import propose_on_device
from model.network.device_selection import Wanted, by_picture
from model.network.network import ProposalNetwork, build_network
from model.network.proposing import propose
from model.structures import Selection

CURVE = Calibration((Curve(1.3, 0.6, -1.0, ((-3.0, 0.0, 0.2),)), Curve(1.0, 1.0, 0.0)), (0.5, 0.9))
CONTENTS = torch.tensor([[96.0, 96], [96, 70], [60, 96]])


@pytest.fixture(params=["one stage", "two stages"])
def config(request: pytest.FixtureRequest, tiny_config: ModelConfig) -> ModelConfig:
    if request.param == "one stage":
        return tiny_config
    selection = replace(tiny_config.selection, overlap_penalty=OverlapPenalty(logits=1.41421))
    return replace(tiny_config, selection=selection, refinement=RefinementConfig(proposals=60, channels=8, hidden=32))


def talkative(config: ModelConfig) -> ProposalNetwork:
    """A fresh head says 0.5 of everything: this one says different things."""
    network = build_network(config).eval()
    with torch.no_grad():
        network.rpn.head.cls_logits.weight *= 100
        network.rpn.head.bbox_pred.weight *= 10
        if network.refinement is not None:
            network.refinement.objectness.weight *= 30
            network.refinement.bbox_pred.weight *= 100
    return network


def test_proposals_are_those_of_a_cpu(config: ModelConfig):
    network = talkative(config)
    pixels = torch.randint(0, 256, (3, 96, 96, 3), dtype=torch.uint8)
    selections = [Selection(top_n=1000), Selection(top_n=9, nms_iou=0.3), Selection(top_n=50, score_threshold=0.1)]
    with torch.inference_mode():
        expected = propose(network, pixels, CONTENTS, config.selection, selections, CURVE)
        found = propose_on_device(network, pixels, CONTENTS, Wanted.by(selections), config.selection, CURVE)
    for ours, theirs in zip(by_picture(found, selections), expected, strict=True):
        assert len(theirs.boxes) > 5
        assert ours.truncated == theirs.truncated
        torch.testing.assert_close(ours.scores, theirs.scores, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.boxes, theirs.boxes, rtol=1e-4, atol=1e-2)


def test_a_picture_of_nothing_finds_nothing_and_leaves_its_neighbour_alone(config: ModelConfig):
    network = talkative(config)
    pixels = torch.randint(0, 256, (2, 96, 96, 3), dtype=torch.uint8)
    contents = torch.tensor([[0.0, 0], [96, 96]])
    wanted = [Selection(top_n=20)] * 2
    with torch.inference_mode():
        together = propose_on_device(network, pixels, contents, Wanted.by(wanted), config.selection)
        alone = propose_on_device(network, pixels[1:], contents[1:], Wanted.by(wanted[1:]), config.selection)
    empty, beside = by_picture(together, wanted)
    [single] = by_picture(alone, wanted[1:])
    assert len(empty.boxes) == 0
    assert not empty.truncated
    torch.testing.assert_close(beside.boxes, single.boxes, rtol=1e-4, atol=1e-2)


def test_what_is_not_finite_never_comes_out(config: ModelConfig):
    network = talkative(config)
    last = network.rpn.head if network.refinement is None else network.refinement
    torch.nn.init.constant_(last.bbox_pred.bias, torch.nan)
    pixels = torch.randint(0, 256, (3, 96, 96, 3), dtype=torch.uint8)
    wanted = [Selection()] * 3
    with torch.inference_mode():
        found = propose_on_device(network, pixels, CONTENTS, Wanted.by(wanted), config.selection)
    assert [len(one.boxes) for one in by_picture(found, wanted)] == [0, 0, 0]


class Crossings(TorchDispatchMode):
    """The operations that take tensors from the host to a device or back: a graph cannot hold them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [value for value in (*args, result) if isinstance(value, Tensor)]
        if {tensor.device.type for tensor in tensors} == {"cpu", "cuda"}:
            self.found.append(str(func))
        return result


@pytest.fixture
def pretended_gpu() -> Iterator[None]:
    """Tensors without values: whatever asks for a value, or has a shape that depends on one, raises."""
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
            yield
    finally:
        calibration._table.cache_clear()


def move(network: nn.Module, device: torch.device) -> None:
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(torch.empty_like(parameter, device=device), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty_like(buffer, device=device)


def test_a_graph_can_hold_all_of_it(config: ModelConfig, request: pytest.FixtureRequest):
    network = talkative(config)
    request.getfixturevalue("pretended_gpu")
    device = torch.device("cuda:0")
    move(network, device)
    pixels = torch.empty(2, 96, 96, 3, dtype=torch.uint8, device=device)
    given = (network, pixels, torch.empty(2, 2, device=device), Wanted.alike(Selection(), 2, device), config.selection)
    with Crossings() as first:
        propose_on_device(*given, CURVE, rounds=3)
    assert first.found, "anchors are copied there once"
    with Crossings() as then:
        found = propose_on_device(*given, CURVE, rounds=3)
    assert then.found == []
    assert found.boxes.device == device
    if not can_suppress(device, 1):  # as many rounds as it takes, which only a value can tell
        with pytest.raises(RuntimeError, match="_local_scalar_dense"):
            propose_on_device(*given, CURVE)
