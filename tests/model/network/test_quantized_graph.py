"""Graphs of integers compute nearly what they computed before, on what they have ranges for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from model.config import ModelConfig, RefinementConfig
from model.errors import ConfigError
from model.host.graphs import Graphs
from model.host.openvino_core import core
from model.network import quantized_graph
from model.network.convolutions import Convolutions
from model.network.input_ranges import recorded_ranges
from model.network.network import build_network
from model.network.openvino_graphs import convert
from model.network.quantized_graph import _module, quantize
from model.network.refinement import as_table
from model.quantization import Quantization
from model.structures import FloatArray

pytest.importorskip("openvino")

from openvino import Model, opset13


def picture() -> FloatArray:
    return np.random.default_rng(0).normal(size=(1, 96, 64, 3)).astype(np.float32)


def measured(config: ModelConfig) -> tuple[Graphs, Quantization]:
    """A network's graphs, and the ranges of one picture."""
    network = build_network(config).eval()
    with torch.no_grad():
        for layer in (network.rpn.head.conv[0][0], network.rpn.head.cls_logits, network.rpn.head.bbox_pred):
            layer.weight *= 100  # a random head's steps are so small that OpenVINO takes them for nothing
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                module.bias.normal_(0, 0.1)  # nor does it compute a chain of integers without any, as none is trained
        if network.refinement is not None:
            network.refinement.bbox_pred.weight *= 200  # an untrained one leaves every box where it is
    with torch.no_grad(), recorded_ranges(network) as ranges:
        found = Convolutions(network)(torch.from_numpy(picture()))
        if network.refinement is not None:
            table, maps = as_table(found[2 * len(network.backbone.strides) :])
            boxes, logits = (torch.from_numpy(array) for array in boxes_and_logits())
            network.refinement.judge(table, maps, boxes, torch.zeros(len(boxes), dtype=torch.int64), logits)
    return convert(network), ranges.quantization()


def compute(graph: Any, given: Sequence[FloatArray] | None = None) -> list[FloatArray]:
    compiled = core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled([picture()] if given is None else list(given))
    return [np.array(found[port]) for port in compiled.outputs]


def boxes_and_logits(count: int = 200) -> tuple[FloatArray, FloatArray]:
    random = np.random.default_rng(1)
    corners = random.uniform(0, 40, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(4, 50, (count, 2))], axis=1)
    return boxes.astype(np.float32), random.normal(size=count).astype(np.float32)


def kinds(graph: Any) -> list[str]:
    return [operation.get_type_name() for operation in graph.get_ops()]


@pytest.mark.parametrize("architecture", ["regnet_x_400mf_fpn", "resnet18_fpn"])
def test_it_computes_nearly_the_same(tiny_config: ModelConfig, architecture: str):
    config = replace(tiny_config, backbone=replace(tiny_config.backbone, name=architecture))
    graphs, quantization = measured(config)
    before, after = compute(graphs.convolutions), compute(quantize(graphs, quantization).convolutions)
    for floats, integers in zip(before, after, strict=True):
        # A wrong scale, zero or channel is off by as much as there is, sums that overflow 16 bits by a sixth of it.
        assert np.linalg.norm(integers - floats) < 0.1 * np.linalg.norm(floats)
        assert not np.array_equal(floats, integers)


def test_weights_are_stored_as_bytes_and_the_graph_that_was_given_is_left_as_it_is(tiny_config: ModelConfig):
    graphs, quantization = measured(tiny_config)
    before = kinds(graphs.convolutions)
    made = quantize(graphs, quantization).convolutions
    assert kinds(graphs.convolutions) == before
    assert "FakeQuantize" not in before
    convolutions = [o for o in made.get_ordered_ops() if o.get_type_name() in ("Convolution", "GroupConvolution")]
    bytes_ = [o for o in convolutions if o.input_value(1).get_node().get_type_name() == "Multiply"]
    assert len(convolutions) - len(bytes_) == 1, "all but the one that reads the picture"
    for convolution in bytes_:
        convert_ = convolution.input_value(1).get_node().input_value(0).get_node()
        integers = convert_.input_value(0).get_node().data
        assert integers.dtype == np.int8
        signed = quantization.input_ranges[_module(convolution)][0] < 0
        assert np.abs(integers.astype(int)).max() == (63 if signed else 127), "two products of signed fit into 16 bits"
        read = convolution.input_value(0).get_node()
        if read.get_type_name() == "MaxPool":
            read = read.input_value(0).get_node()
        assert read.get_type_name() == "FakeQuantize"


def test_a_pool_works_on_bytes_and_gives_the_same_to_the_bit(tiny_config: ModelConfig, monkeypatch: pytest.MonkeyPatch):
    config = replace(tiny_config, backbone=replace(tiny_config.backbone, name="resnet18_fpn"))
    graphs, quantization = measured(config)
    made = quantize(graphs, quantization).convolutions
    pools = [layer for layer in made.get_ordered_ops() if layer.get_type_name() == "MaxPool"]
    assert len(pools) == 2, "the stem's, and the pyramid's coarsest level"
    for pool in pools:
        assert pool.input_value(0).get_node().get_type_name() == "FakeQuantize"
        readers = {reader.get_node().get_type_name() for reader in pool.output(0).get_target_inputs()}
        assert "FakeQuantize" not in readers
    monkeypatch.setattr(quantized_graph, "_all_read_integers", lambda read: False)
    after = quantize(graphs, quantization).convolutions
    assert kinds(after).count("FakeQuantize") == kinds(made).count("FakeQuantize") + 1, "that level has its own"
    for ours, theirs in zip(compute(made), compute(after), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_pool_that_something_else_reads_in_floating_point_stays_so():
    pictures = opset13.parameter([1, 3, 8, 8], np.float32)
    pool = opset13.max_pool(pictures, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2])
    layer = opset13.convolution(
        pool.output(0), opset13.constant(np.ones((4, 3, 1, 1), dtype=np.float32)), [1, 1], [0, 0], [0, 0], [1, 1]
    )
    layer.set_friendly_name("__module.layer/aten::_convolution/Convolution")
    graph = Model([layer.output(0), opset13.relu(pool.output(0)).output(0)], [pictures])
    made = quantize(Graphs(graph, None, (1,)), Quantization({"layer": (0.0, 1.0)})).convolutions
    (left,) = (one for one in made.get_ordered_ops() if one.get_type_name() == "MaxPool")
    assert left.input_value(0).get_node().get_type_name() == "Parameter"
    assert kinds(made).count("FakeQuantize") == 1


def test_what_has_no_range_stays_in_floating_point(tiny_config: ModelConfig):
    graphs, quantization = measured(tiny_config)
    graph = graphs.convolutions
    name, range_ = next((n, r) for n, r in quantization.input_ranges.items() if n.startswith("head.cls"))
    made = quantize(graphs, Quantization({name: range_})).convolutions
    levels = len(compute(graph)) // 2
    assert kinds(made).count("FakeQuantize") == levels, "its map of each level"
    for floats, integers in zip(compute(graph)[levels:], compute(made)[levels:], strict=True):
        np.testing.assert_allclose(floats, integers, atol=0.05 * np.abs(floats).max())
    with pytest.raises(ConfigError, match=r"quantization: another\.network is no layer of this network"):
        quantize(graphs, Quantization({name: range_, "another.network": (0.0, 1.0)}))


def test_the_second_stage_computes_nearly_the_same(tiny_config: ModelConfig):
    config = replace(tiny_config, refinement=RefinementConfig(proposals=200, hidden=64))
    graphs, quantization = measured(config)
    made = quantize(graphs, quantization)
    assert kinds(graphs.refinement).count("FakeQuantize") == 0
    assert kinds(made.refinement).count("FakeQuantize") == 2
    levels = len(graphs.strides)
    features = [torch.from_numpy(level) for level in compute(graphs.convolutions)[2 * levels :]]
    table, maps = (tensor.numpy() for tensor in as_table(features))
    given = (table, maps, *boxes_and_logits())
    floats, integers = compute(graphs.refinement, given), compute(made.refinement, given)
    first_logits = config.refinement.first_weight * given[3]  # which are added in the end, and would hide what is not
    new, new_in_integers = floats[0] - first_logits, integers[0] - first_logits
    assert np.linalg.norm(new_in_integers - new) < 0.05 * np.linalg.norm(new)
    assert not np.array_equal(new, new_in_integers)
    moves, moves_in_integers = floats[1] - given[2], integers[1] - given[2]
    assert np.abs(moves).mean() > 0.1
    assert np.linalg.norm(moves_in_integers - moves) < 0.05 * np.linalg.norm(moves)


def test_a_quantization_from_before_leaves_the_second_stage_in_floating_point(tiny_config: ModelConfig):
    graphs, quantization = measured(replace(tiny_config, refinement=RefinementConfig(proposals=200, hidden=64)))
    older = {name: range_ for name, range_ in quantization.input_ranges.items() if not name.startswith("refinement")}
    assert len(older) == len(quantization.input_ranges) - 2
    assert kinds(quantize(graphs, Quantization(older)).refinement) == kinds(graphs.refinement)


@pytest.mark.parametrize("range_", [(0.0, 2.0), (-3.0, 1.0), (-0.5, 4.0)])
def test_zero_is_a_level_since_padding_is_zero(range_: tuple[float, float]):
    from model.network.quantized_graph import _with_zero

    low, high = _with_zero(range_)
    assert low <= range_[0]
    assert high >= range_[1]
    step = (high - low) / 255
    assert (0 - low) / step == pytest.approx(round((0 - low) / step), abs=1e-6)
