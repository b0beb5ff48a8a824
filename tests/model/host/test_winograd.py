"""Fewer products give the same convolution, on maps of any size."""

from typing import Any

import numpy as np
import pytest

from model.host.graphs import Graphs
from model.host.openvino_core import core
from model.host.winograd import _convolved, with_winograd
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
    fewer = Model([_convolved(again.output(0), weights, strips).get_node()], [again])
    np.testing.assert_allclose(compute(fewer, maps), compute(direct, maps), rtol=0, atol=2e-4)


def several() -> Any:
    """Of six convolutions one is worth it: the others' weights, steps, gaps, channels or places are not."""
    from openvino import Model, PartialShape, Type
    from openvino import opset13 as op

    pictures = op.parameter(PartialShape([-1, -1, -1, 3]), Type.f32)
    maps = convolution(op.transpose(pictures, op.constant(np.array([0, 3, 1, 2]))), weights_of(CHANNELS, 3))
    maps = op.relu(convolution(maps, weights_of(CHANNELS, CHANNELS)))
    narrow = convolution(maps, weights_of(32, CHANNELS))
    point = convolution(maps, weights_of(CHANNELS, CHANNELS, side=1), pad=0)
    spread = convolution(point, weights_of(CHANNELS, CHANNELS), pad=2, dilation=2)
    halved = convolution(spread, weights_of(CHANNELS, CHANNELS), stride=2)
    small = convolution(halved, weights_of(CHANNELS, CHANNELS))
    return Model([small, narrow], [pictures])


def test_only_what_is_large_enough_is_changed():
    graphs = Graphs(several(), None, (2,))
    before = kinds(graphs.convolutions)
    changed = with_winograd(graphs, Canvas(width=64, height=48))
    assert kinds(graphs.convolutions) == before, "the graph that was given is left as it is"
    assert before.count("Convolution") - kinds(changed.convolutions).count("Convolution") == 1
    assert kinds(with_winograd(graphs, Canvas(width=32, height=48)).convolutions) == before, "too few places"
    for count, height, width in ((1, 48, 64), (2, 20, 36)):
        pictures = np.random.default_rng(0).normal(size=(count, height, width, 3)).astype(np.float32)
        found, expected = (compute(graph, pictures) for graph in (changed.convolutions, graphs.convolutions))
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4 * float(np.abs(expected).max()))
