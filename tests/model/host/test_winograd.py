"""Fewer products give the same convolution, on maps of any size."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.config import ModelConfig
from model.host.graphs import GraphFolder, Graphs
from model.host.mapped_weights import MappedWeights
from model.host.openvino_core import core
from model.host.winograd import _convolved, _products, _strips, with_winograd
from model.network.network import build_network
from model.network.openvino_graphs import convert
from model.structures import Canvas, FloatArray

pytest.importorskip("openvino")

CHANNELS = 192


def weights_of(outputs: int, inputs: int, side: int = 3) -> FloatArray:
    values = np.random.default_rng(outputs).normal(size=(outputs, inputs, side, side))
    return (values / np.sqrt(inputs * side**2)).astype(np.float32)


def convolution(given: Any, weights: FloatArray, *, stride: int = 1, pad: int = 1, dilation: int = 1) -> Any:
    from openvino import opset13 as op

    return op.convolution(given, op.constant(weights), [stride] * 2, [pad] * 2, [pad] * 2, [dilation] * 2)


def compute(graph: Any, given: FloatArray) -> FloatArray:
    compiled = core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled([given])[compiled.outputs[0]])


def kinds(graph: Any) -> list[str]:
    return [operation.get_type_name() for operation in graph.get_ops()]


@pytest.mark.parametrize("strips", [1, 3])
@pytest.mark.parametrize("sides", [(1, 16, 24), (2, 13, 9), (3, 5, 40), (1, 1, 1), (1, 50, 66)])
def test_it_is_the_convolution_on_maps_of_any_size(strips: int, sides: tuple[int, int, int]):
    from openvino import Model, PartialShape, Type
    from openvino import opset13 as op

    count, height, width = sides
    weights = weights_of(24, 40)
    maps = np.random.default_rng(1).normal(size=(count, 40, height, width)).astype(np.float32)
    given = op.parameter(PartialShape([-1, 40, -1, -1]), Type.f32)
    direct = Model([convolution(given, weights)], [given])
    again = op.parameter(PartialShape([-1, 40, -1, -1]), Type.f32)
    fewer = Model([_convolved(again.output(0), _products(weights), strips).get_node()], [again])
    np.testing.assert_allclose(compute(fewer, maps), compute(direct, maps), rtol=0, atol=2e-4)


def test_strips_leave_little_over():
    assert _strips([50, 50, 68, 76, 84], 12.4) == 10, "as a ResNet-50's finest maps: 12 would compute 60 rows of 50"
    assert _strips([7], 4.2) == 4
    assert _strips([3], 0.2) == 1


def several() -> Any:
    """Of eight convolutions one is worth it; each of the others that read its maps is what the first is but for one
    thing: its kernel, its step, its gaps, its padding, its channels or the number of its weights."""
    from openvino import Model, PartialShape, Type
    from openvino import opset13 as op

    pictures = op.parameter(PartialShape([-1, -1, -1, 3]), Type.f32)
    maps = convolution(op.transpose(pictures, op.constant(np.array([0, 3, 1, 2]))), weights_of(CHANNELS, 3))
    worth_it = op.relu(convolution(maps, weights_of(CHANNELS, CHANNELS)))
    others = [
        convolution(worth_it, weights_of(CHANNELS, CHANNELS, side=1)),
        convolution(worth_it, weights_of(CHANNELS, CHANNELS), stride=2),
        convolution(worth_it, weights_of(CHANNELS, CHANNELS), dilation=2),
        convolution(worth_it, weights_of(CHANNELS, CHANNELS), pad=2),
        convolution(worth_it, weights_of(CHANNELS - 1, CHANNELS)),
        convolution(worth_it, weights_of(2 * CHANNELS, CHANNELS)),
    ]
    return Model(others, [pictures])


def test_only_what_is_large_enough_is_changed():
    graphs = Graphs(several(), None, (1,))
    before = kinds(graphs.convolutions)
    changed = with_winograd(graphs, [Canvas(width=128, height=96)])  # half of it has 3,072 places
    assert kinds(graphs.convolutions) == before, "the graph that was given is left as it is"
    assert before.count("Convolution") - kinds(changed.convolutions).count("Convolution") == 1
    assert kinds(with_winograd(graphs, [Canvas(width=40, height=48)]).convolutions) == before, "too few places"
    for count, height, width in ((1, 96, 128), (2, 20, 36)):
        pictures = np.random.default_rng(0).normal(size=(count, height, width, 3)).astype(np.float32)
        found, expected = (compute(graph, pictures) for graph in (changed.convolutions, graphs.convolutions))
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * float(np.abs(expected).max()))


def test_a_kept_network_has_its_pyramid_and_head_changed(tiny_config: ModelConfig, tmp_path: Path):
    """The head's one layer is there for each level; the weights that both share are transformed once."""
    config = replace(tiny_config, backbone=replace(tiny_config.backbone, fpn_channels=CHANNELS))
    folder = GraphFolder(tmp_path)
    folder.keep("a network", convert(build_network(config).eval()))
    graphs = folder.find("a network")
    assert graphs is not None
    changed = with_winograd(graphs, [Canvas(width=960, height=960)]).convolutions  # 14,400, 3,600 and 900 places
    gone = kinds(graphs.convolutions).count("Convolution") - kinds(changed).count("Convolution")
    assert gone == 4, "two levels of the pyramid, and the head on both"
    shapes = [list(one.shape) for one in changed.get_ops() if one.get_type_name() == "Constant"]
    assert shapes.count([36, CHANNELS, CHANNELS]) == 3
    assert MappedWeights(changed).bytes > 0, "what is left as it was is still the file's"
    pictures = np.random.default_rng(0).normal(size=(1, 96, 64, 3)).astype(np.float32)
    found, expected = compute(changed, pictures), compute(graphs.convolutions, pictures)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * float(np.abs(expected).max()))
