"""A network's convolutions and the second stage's layers in OpenVINO's graphs, told to compute in 8-bit integers.

Each tensor that one of them reads gets the levels that it is rounded to (OpenVINO's FakeQuantize), and its weights
are stored as integers with a scale for each output channel: from these OpenVINO's CPU plugin makes integer kernels,
sums of 32 bits, and leaves in fp32 what has no levels.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from model.errors import ConfigError
from model.host.graphs import Graphs
from model.quantization import Quantization, Range
from model.structures import FloatArray

_LEVELS = 256
_LOWEST = -128  # of a signed byte
_HIGHEST_WEIGHT = 127  # of a signed byte, -128 unused: both signs reach as far
# A processor without VNNI adds two products in 16 bits, which 255 * 127 * 2 overflows and 255 * 63 * 2 does not. What
# is never negative, after a ReLU, is mostly far below 255; but signed values are shifted to lie around 128, and there
# it happened: a bit of the weights is left unused for them.
_HIGHEST_WEIGHT_OF_SIGNED = 63
_CONVOLUTIONS = ("Convolution", "GroupConvolution")
# What reads the same tensor beside a layer, and can read it as integers: a residual's sum, and the 1 that torch
# multiplies it with.
_WITH_THEM = ("Add", "Multiply")
# How OpenVINO's front end names what it has recorded of a module.
_MODULE = re.compile(r"__module\.(.+?)/")


def quantize(graphs: Graphs, quantization: Quantization) -> Graphs:
    """Copies of the graphs whose layers read and multiply integers; those without a range stay as they are.

    Raises:
        ConfigError: a range is for what is no layer of these graphs.
    """
    copies = {"convolutions": graphs.convolutions.clone()}
    if graphs.refinement is not None:
        copies["refinement"] = graphs.refinement.clone()
    unknown = set(quantization.input_ranges)
    for copy in copies.values():
        unknown -= _quantize(copy, quantization.input_ranges)
    if unknown:
        raise ConfigError(f"quantization: {min(unknown)} is no layer of this network")
    return replace(graphs, **copies)


def _quantize(graph: Any, ranges: Mapping[str, Range]) -> set[str]:
    """Change the graph's layers that have a range, and say which they are."""
    rounded: dict[tuple[str, int], Any] = {}
    layers = [(layer, ranges[_module(layer)]) for layer in _layers(graph) if _module(layer) in ranges]
    for layer, range_ in layers:
        read = layer.input_value(0)
        place = (read.get_node().get_friendly_name(), read.get_index())
        if place not in rounded:
            rounded[place] = _round(read, range_)
        layer.input(0).replace_source_output(rounded[place])
        highest = _HIGHEST_WEIGHT if range_[0] >= 0 else _HIGHEST_WEIGHT_OF_SIGNED
        layer.input(1).replace_source_output(_integers(layer, highest))
    graph.validate_nodes_and_infer_types()
    return {_module(layer) for layer, _ in layers}


def _layers(graph: Any) -> list[Any]:
    """The convolutions, and of each module that multiplies matrices the product with most weights.

    The second stage's first layer has a second one, of a few columns, which read something else.
    """
    operations = graph.get_ordered_ops()
    products: dict[str, Any] = {}
    for product in (one for one in operations if one.get_type_name() == "MatMul"):
        largest = products.setdefault(_module(product), product)
        if _weights(product.input_value(1)).size > _weights(largest.input_value(1)).size:
            products[_module(product)] = product
    return [one for one in operations if one.get_type_name() in _CONVOLUTIONS] + list(products.values())


def _module(operation: Any) -> str:
    found = _MODULE.match(operation.get_friendly_name())
    return found[1] if found else ""


def _round(read: Any, range_: Range) -> Any:
    """The tensor, rounded to its levels for all that can read it so."""
    from openvino import opset13

    readers = [reader for reader in read.get_target_inputs() if reader.get_node().get_type_name() in _WITH_THEM]
    low, high = (opset13.constant(np.float32(value)) for value in _with_zero(range_))
    rounded = opset13.fake_quantize(read, low, high, low, high, _LEVELS).output(0)
    for reader in readers:
        reader.replace_source_output(rounded)
    return rounded


def _with_zero(range_: Range) -> Range:
    """A range in which zero is a level, since padding is exactly that: from zero, or of a signed byte."""
    low, high = range_
    if low >= 0:
        return 0.0, high
    reach = max(-low, high)
    return reach * _LOWEST / (_LOWEST + _LEVELS - 1), reach


def _integers(layer: Any, highest: int) -> Any:
    """The layer's weights as signed bytes up to ``highest``, times a scale for each output channel."""
    from openvino import opset13

    weights = _weights(layer.input_value(1))
    # a group's weights are (groups, channels out, ...), others' (channels out, ...)
    channels = 2 if layer.get_type_name() == "GroupConvolution" else 1
    reach = np.abs(weights).max(axis=tuple(range(channels, weights.ndim)), keepdims=True)
    scale = np.maximum(reach, np.finfo(np.float32).tiny) / np.float32(highest)
    integers = np.rint(weights / scale).astype(np.int8)
    return opset13.multiply(
        opset13.convert(opset13.constant(integers), "f32"), opset13.constant(scale.astype(np.float32))
    ).output(0)


def _weights(given: Any) -> FloatArray:
    """A constant, or one that is only given another shape, as grouped convolutions' are."""
    node = given.get_node()
    constant = node.input_value(0).get_node() if node.get_type_name() == "Reshape" else node
    assert constant.get_type_name() == "Constant", "recorded networks are frozen"
    weights: FloatArray = constant.data
    assert weights.dtype == np.float32
    return weights.reshape([side.get_length() for side in given.get_partial_shape()])
