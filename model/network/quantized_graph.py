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
from model.host.integer_weights import (
    HIGHEST_WEIGHT,
    HIGHEST_WEIGHT_IN_SIXTEEN_BITS,
    constant_weights,
    integer_weights,
)
from model.quantization import Quantization, Range

_LEVELS = 256
_LOWEST = -128  # of a signed byte
_CONVOLUTIONS = ("Convolution", "GroupConvolution")
# What reads the same tensor beside a layer, and can read it as integers: a residual's sum, and the 1 that torch
# multiplies it with.
_WITH_THEM = ("Add", "Multiply")
# How OpenVINO's front end names what it has recorded of a module.
_MODULE = re.compile(r"__module\.(.+?)/")

_Place = tuple[str, int]  # an operation's name, and which of its outputs


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
    rounded: dict[_Place, Any] = {}
    layers = [(layer, ranges[_module(layer)]) for layer in _layers(graph) if _module(layer) in ranges]
    for layer, range_ in layers:
        layer.input(0).replace_source_output(_round(layer.input_value(0), range_, rounded))
        weights = integer_weights(
            constant_weights(layer.input_value(1)),
            HIGHEST_WEIGHT if range_[0] >= 0 else HIGHEST_WEIGHT_IN_SIXTEEN_BITS,
            grouped=layer.get_type_name() == "GroupConvolution",
        )
        layer.input(1).replace_source_output(weights.node.output(0))
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
        if constant_weights(product.input_value(1)).size > constant_weights(largest.input_value(1)).size:
            products[_module(product)] = product
    return [one for one in operations if one.get_type_name() in _CONVOLUTIONS] + list(products.values())


def _module(operation: Any) -> str:
    found = _MODULE.match(operation.get_friendly_name())
    return found[1] if found else ""


def _round(read: Any, range_: Range, rounded: dict[_Place, Any]) -> Any:
    """The tensor, rounded to its levels for all that can read it so, once: ``rounded`` holds what has been."""
    place = (read.get_node().get_friendly_name(), read.get_index())
    if place not in rounded:
        pool = read.get_node()
        if pool.get_type_name() == "MaxPool" and _all_read_integers(read):
            # The highest of rounded values is the highest value, rounded: so the pool works on bytes, too.
            pool.input(0).replace_source_output(_round(pool.input_value(0), range_, rounded))
            rounded[place] = read
        else:
            rounded[place] = _levelled(read, range_)
    return rounded[place]


def _levelled(read: Any, range_: Range) -> Any:
    from openvino import opset13

    readers = [reader for reader in read.get_target_inputs() if reader.get_node().get_type_name() in _WITH_THEM]
    low, high = (opset13.constant(np.float32(value)) for value in _with_zero(range_))
    levelled = opset13.fake_quantize(read, low, high, low, high, _LEVELS).output(0)
    for reader in readers:
        reader.replace_source_output(levelled)
    return levelled


def _all_read_integers(read: Any) -> bool:
    readers = {reader.get_node().get_type_name() for reader in read.get_target_inputs()}
    return readers <= {*_CONVOLUTIONS, *_WITH_THEM}


def _with_zero(range_: Range) -> Range:
    """A range in which zero is a level, since padding is exactly that: from zero, or of a signed byte."""
    low, high = range_
    if low >= 0:
        return 0.0, high
    reach = max(-low, high)
    return reach * _LOWEST / (_LOWEST + _LEVELS - 1), reach
