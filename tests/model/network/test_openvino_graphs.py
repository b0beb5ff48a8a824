"""What is recorded of a network, as OpenVINO is given it; that it computes the same is tests/model/host's to see."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from model.config import ModelConfig
from model.network.network import build_network
from model.network.openvino_graphs import convert

pytest.importorskip("openvino")


def sums_with_a_bias(graph: Any) -> list[Any]:
    sums = (layer for layer in graph.get_ordered_ops() if layer.get_type_name() == "Add")
    return [layer for layer in sums if layer.input_value(0).get_node().get_type_name() == "Convolution"]


def test_each_level_has_the_heads_biases_for_itself(tiny_config: ModelConfig):
    network = build_network(tiny_config).eval()
    layers = {"conv.0.0": network.rpn.head.conv[0][0], "cls_logits": network.rpn.head.cls_logits}
    for layer in layers.values():
        nn.init.normal_(layer.bias)
    given = {name: layer.bias.detach().numpy().copy() for name, layer in layers.items()}
    with torch.no_grad():
        sums = sums_with_a_bias(convert(network).convolutions)
    biases = [layer.input_value(1) for layer in sums]
    assert {bias.get_node().get_type_name() for bias in biases} == {"Constant"}
    assert all(len(bias.get_target_inputs()) == 1 for bias in biases)
    for name, values in given.items():
        own = [layer for layer in sums if f"head.{name}/" in layer.get_friendly_name()]
        assert len(own) == len(network.backbone.strides)
        for layer in own:
            np.testing.assert_array_equal(layer.input_value(1).get_node().data, values.reshape(1, -1, 1, 1))
