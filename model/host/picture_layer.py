"""The layer that reads the picture, told to read its pixels: whole numbers of eight bits, which no rounding changes.

Normalised and then rounded to 256 levels they would not be the pixels any more, since each colour has a deviation of
its own: `face` lost 0.7 points of AR@100 by that. Here the normalisation is in the weights, which know their colour.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from model.config import InputRule
from model.host.graphs import Graphs
from model.host.integer_weights import HIGHEST_WEIGHT, constant_weights, integer_weights
from model.structures import FloatArray

_BRIGHTEST = 255


def reading_pixels(graphs: Graphs, rule: InputRule) -> Graphs:
    """Graphs whose convolutions read pixels, for a processor that adds products of bytes exactly (VNNI).

    Others add two of them in 16 bits, which white pixels times weights of eight bits overflow; with weights of seven
    `pedestrian`, a RegNetX then, lost 0.4 points of AR@1000.

    Zero after normalisation is the mean colour, with which a layer of pixels cannot pad: a caller lays each picture on
    it, with a frame as wide as the layer's own padding was, in whole numbers. So what lies beside a picture is off by
    up to half a pixel's step. What has a mean that is no colour, or another layer than a convolution that pads alike on
    all sides, stays as it is.
    """
    copy = graphs.convolutions.clone()
    layer = _reader(copy)
    if layer is None or min(rule.mean) < 0 or max(rule.mean) > 1:
        return graphs
    _read_pixels(copy, layer, rule)
    return replace(graphs, convolutions=copy, frame=_padding(layer))


def _read_pixels(graph: Any, layer: Any, rule: InputRule) -> None:
    """Put another layer and another input in the place of this layer and the graph's own."""
    from openvino import Type, opset13

    (given,) = graph.get_parameters()
    scale, mean = (np.array(values, dtype=np.float32).reshape(1, 3, 1, 1) for values in (rule.std, rule.mean))
    weights = constant_weights(layer.input_value(1)) / (_BRIGHTEST * scale)
    integers = integer_weights(weights, HIGHEST_WEIGHT)
    pixels = opset13.parameter(given.get_partial_shape(), Type.u8, given.get_friendly_name())
    planes = opset13.convert(opset13.transpose(pixels, opset13.constant(np.array([0, 3, 1, 2]))), "f32")
    darkest, brightest = (opset13.constant(np.float32(value)) for value in (0, _BRIGHTEST))
    levels = opset13.fake_quantize(planes, darkest, brightest, darkest, brightest, _BRIGHTEST + 1)
    convolved = opset13.convolution(levels, integers.node, layer.get_strides(), [0, 0], [0, 0], layer.get_dilations())
    convolved.set_friendly_name(layer.get_friendly_name())
    # Of the rounded weights, so that the mean colour is nothing.
    of_mean: FloatArray = (integers.values * mean * _BRIGHTEST).sum(axis=(1, 2, 3), dtype=np.float32)
    centred = opset13.subtract(convolved, opset13.constant(of_mean.reshape(1, -1, 1, 1)))
    layer.output(0).replace(centred.output(0))
    graph.replace_parameter(0, pixels)
    graph.validate_nodes_and_infer_types()


def _reader(graph: Any) -> Any:
    """The convolution that alone reads the pictures, once their colours are planes; None if it is something else."""
    operation = graph.get_parameters()[0]
    for kind in ("Transpose", "Convolution"):
        readers = list(operation.output(0).get_target_inputs())
        if len(readers) != 1 or readers[0].get_node().get_type_name() != kind:
            return None
        operation = readers[0].get_node()
    alike = len({*operation.get_pads_begin(), *operation.get_pads_end()}) == 1
    return operation if alike else None


def _padding(layer: Any) -> int:
    return int(layer.get_pads_begin()[0])
