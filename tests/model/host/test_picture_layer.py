"""A network that is given pixels computes nearly what it computes from normalised pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from model.config import ModelConfig
from model.host.graphs import Graphs
from model.host.openvino_core import core
from model.host.openvino_network import OpenVINONetwork
from model.host.picture_layer import reading_pixels
from model.host.share import Share
from model.network.network import build_network
from model.network.openvino_graphs import convert
from model.network.quantized_graph import quantize
from model.precision import has_vnni
from model.quantization import Quantization
from model.structures import FloatArray, PixelArray

pytest.importorskip("openvino")

# Their first layers pad by one and by three pixels.
BACKBONES = ("regnet_x_400mf_fpn", "resnet18_fpn")
CONTENTS = np.array([[90.0, 58.0]], dtype=np.float32)


def noise(highest: int) -> PixelArray:
    return np.random.default_rng(0).integers(0, highest, (1, 64, 96, 3), dtype=np.uint8)


def graphs_of(config: ModelConfig) -> Graphs:
    torch.manual_seed(0)
    network = build_network(config).eval()
    with torch.no_grad():
        for layer in (network.rpn.head.conv[0][0], network.rpn.head.cls_logits, network.rpn.head.bbox_pred):
            nn.init.normal_(layer.weight, std=0.1)  # fresh ones say the same of every anchor
    return convert(network)


def maps(config: ModelConfig, graphs: Graphs, pixels: PixelArray) -> list[FloatArray]:
    scored = OpenVINONetwork(config, graphs, Share(threads=2), "fp32").score(pixels, CONTENTS)
    return [level.copy() for level in scored.logits + scored.deltas]


def distance(found: list[FloatArray], expected: list[FloatArray]) -> float:
    """The largest of any level's, relative to what there is."""
    pairs = zip(found, expected, strict=True)
    return max(float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)) for ours, theirs in pairs)


@pytest.fixture
def resnet(tiny_config: ModelConfig) -> ModelConfig:
    return replace(tiny_config, backbone=replace(tiny_config.backbone, name="resnet18_fpn"))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_it_computes_nearly_what_it_computes_from_normalised_pictures(tiny_config: ModelConfig, backbone: str):
    config = replace(tiny_config, backbone=replace(tiny_config.backbone, name=backbone))
    graphs, pixels = graphs_of(config), noise(128)  # dark enough for any processor's 16 bits
    normalised, read = maps(config, graphs, pixels), maps(config, reading_pixels(graphs, config.input), pixels)
    assert 0 < distance(read, normalised) < 0.02


@pytest.mark.skipif(not has_vnni(), reason="a processor without VNNI overflows")
def test_white_pixels_overflow_nothing(resnet: ModelConfig):
    graphs = graphs_of(resnet)
    white = np.full((1, 64, 96, 3), 255, dtype=np.uint8)
    pixels = reading_pixels(graphs, resnet.input)
    assert distance(maps(resnet, pixels, white), maps(resnet, graphs, white)) < 0.02
    assert distance(maps(resnet, pixels, noise(256)), maps(resnet, graphs, noise(256))) < 0.02


@pytest.mark.skipif(not has_vnni(), reason="integers are for processors that add them exactly")
def test_the_first_layer_is_of_integers(resnet: ModelConfig):
    graph = reading_pixels(graphs_of(resnet), resnet.input).convolutions
    compiled = core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    infos = [operation.get_rt_info() for operation in compiled.get_runtime_model().get_ordered_ops()]
    first = next(info for info in infos if info["layerType"].astype(str) == "Convolution")
    assert first["runtimePrecision"].astype(str) == "u8"


def test_what_does_not_begin_with_one_convolution_is_given_normalised_pictures(resnet: ModelConfig):
    graphs = graphs_of(resnet)
    ranges = {"backbone.body.conv1": (-2.0, 2.0)}  # read in 256 levels: what it reads is rounded in between
    rounded = quantize(graphs, Quantization(ranges))
    assert reading_pixels(rounded, resnet.input) is rounded


def test_what_lies_beside_a_picture_is_not_read(resnet: ModelConfig):
    graphs, pixels = reading_pixels(graphs_of(resnet), resnet.input), noise(128)
    elsewhere = pixels.copy()
    elsewhere[:, 58:], elsewhere[:, :, 90:] = 255, 0
    for ours, theirs in zip(maps(resnet, graphs, pixels), maps(resnet, graphs, elsewhere), strict=True):
        assert np.array_equal(ours, theirs)


def test_each_picture_of_a_batch_is_what_it_is_alone(resnet: ModelConfig):
    network = OpenVINONetwork(resnet, reading_pixels(graphs_of(resnet), resnet.input), Share(threads=2), "fp32")
    pixels = np.concatenate([noise(128), noise(128)[:, ::-1]])
    contents = np.array([[90, 58], [40, 64]], dtype=np.float32)
    together = [level.copy() for level in network.score(pixels, contents).logits]
    for number in range(2):
        one = slice(number, number + 1)
        for alone, level in zip(network.score(pixels[one], contents[one]).logits, together, strict=True):
            np.testing.assert_allclose(alone, level[one], atol=1e-4 * float(np.abs(level).max()))


def test_the_graphs_that_were_given_are_left_as_they_are(resnet: ModelConfig):
    graphs = graphs_of(resnet)
    before = maps(resnet, graphs, noise(128))
    reading_pixels(graphs, resnet.input)
    assert graphs.frame is None
    assert distance(maps(resnet, graphs, noise(128)), before) == 0


@pytest.mark.parametrize("mean", [(-0.1, 0.5, 0.5), (0.5, 0.5, 1.1)])
def test_what_has_no_mean_colour_is_given_normalised_pictures(resnet: ModelConfig, mean: tuple[float, float, float]):
    graphs = graphs_of(resnet)
    assert reading_pixels(graphs, replace(resnet.input, mean=mean)) is graphs
