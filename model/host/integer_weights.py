"""Weights as signed bytes with a scale for each output channel, in OpenVINO's graphs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from model.structures import FloatArray

# Of a signed byte, -128 unused: both signs reach as far.
HIGHEST_WEIGHT = 127
# A processor without VNNI adds two products in 16 bits, which 255 * 127 * 2 overflows and 255 * 63 * 2 does not. What
# is never negative, after a ReLU, is mostly far below 255; but signed values are shifted to lie around 128, and there
# it happened: a bit of the weights is left unused for them.
HIGHEST_WEIGHT_IN_SIXTEEN_BITS = 63


@dataclass(frozen=True, slots=True)
class IntegerWeights:
    """``node``: the operation that gives them to a layer; ``values``: what they are then, float32."""

    node: Any
    values: FloatArray


def integer_weights(weights: FloatArray, highest: int, *, grouped: bool = False) -> IntegerWeights:
    """Round to whole numbers up to ``highest`` either way, times a scale for each output channel.

    ``weights``: float32 (channels out, ...), ``grouped`` ones (groups, channels out, ...).
    """
    from openvino import opset13

    reach = np.abs(weights).max(axis=tuple(range(2 if grouped else 1, weights.ndim)), keepdims=True)
    scale = (np.maximum(reach, np.finfo(np.float32).tiny) / np.float32(highest)).astype(np.float32)
    integers = np.rint(weights / scale).astype(np.int8)
    node = opset13.multiply(opset13.convert(opset13.constant(integers), "f32"), opset13.constant(scale))
    return IntegerWeights(node, integers * scale)


def constant_weights(given: Any) -> FloatArray:
    """A layer's weights or bias, a constant, or one that is only given another shape, as grouped convolutions' are."""
    node = given.get_node()
    constant = node.input_value(0).get_node() if node.get_type_name() == "Reshape" else node
    assert constant.get_type_name() == "Constant", "recorded networks are frozen"
    weights: FloatArray = constant.data
    assert weights.dtype == np.float32
    return weights.reshape([side.get_length() for side in given.get_partial_shape()])
