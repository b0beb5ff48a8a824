"""Whoever computes a network, the anchors are scored alike, and the second stage says the same."""

import copy
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from model.architectures import architecture
from model.config import ModelConfig, RefinementConfig
from model.host.openvino_network import OpenVINONetwork
from model.host.proposing import propose
from model.host.scored import ScoredAnchors
from model.host.share import Share
from model.network import proposing
from model.network.network import ProposalNetwork, build_network
from model.network.openvino_graphs import convert
from model.network.selection import on_host
from model.structures import FloatArray, PixelArray, Selection

pytest.importorskip("openvino")

# One of each kind: two outputs for objectness, a pyramid whose two coarsest levels have one stride, a second stage.
NAMES = ("rpn_vgg16", "rpn_mobilenet_v3_large_320_fpn", "rpn_regnet_x_400mf_fpn_cascade")


def network_of(config: ModelConfig) -> ProposalNetwork:
    torch.manual_seed(0)
    network = build_network(config).eval()
    for layer in (network.rpn.head.cls_logits, network.rpn.head.bbox_pred):
        nn.init.normal_(layer.weight, std=0.1)  # fresh ones say the same of every anchor
    if network.refinement is not None:
        nn.init.normal_(network.refinement.bbox_pred.weight, std=0.1)
    return network


def compiled_of(network: ProposalNetwork, config: ModelConfig, calls: int = 1) -> OpenVINONetwork:
    return OpenVINONetwork(config, convert(copy.deepcopy(network)), Share(threads=2, calls=calls), "fp32")


def pictures(width: int, height: int, count: int = 1) -> tuple[PixelArray, FloatArray]:
    random = np.random.default_rng(width * height)
    pixels = random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    contents = np.array([[width - 9 * n, height - 5 * n] for n in range(count)], dtype=np.float32)
    return pixels, contents


@torch.inference_mode()
def by_torch(network: ProposalNetwork, pixels: PixelArray, contents: FloatArray) -> ScoredAnchors:
    return on_host(network(torch.from_numpy(pixels), torch.from_numpy(contents)))


def assert_same(found: ScoredAnchors, expected: ScoredAnchors) -> None:
    for ours, theirs in zip(found.logits + found.deltas, expected.logits + expected.deltas, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * max(1.0, float(np.abs(theirs).max())))
    for ours, theirs in zip(found.anchors, expected.anchors, strict=True):
        assert np.array_equal(ours.boxes, theirs.boxes)
        assert np.array_equal(ours.centres, theirs.centres)


@pytest.mark.parametrize("name", NAMES)
def test_it_scores_as_torch_does_on_canvases_of_any_size(name: str):
    config = architecture(name)
    network = network_of(config)
    compiled = compiled_of(network, config)
    for width, height, count in ((96, 160, 1), (192, 96, 3), (96, 160, 2)):
        given = pictures(width, height, count)
        assert_same(compiled.score(*given), by_torch(network, *given))


@pytest.fixture
def cascade(tiny_config: ModelConfig) -> ModelConfig:
    return replace(tiny_config, refinement=RefinementConfig(proposals=60, channels=8, hidden=32))


@pytest.mark.parametrize("count", [60, 7, 130, 0])
def test_the_second_stage_says_what_torch_says_of_as_many_boxes_as_there_are(cascade: ModelConfig, count: int):
    network = network_of(cascade)
    compiled = compiled_of(network, cascade)
    assert network.refinement is not None
    random = np.random.default_rng(count)
    corners = random.random((count, 2), dtype=np.float32) * 60
    boxes = np.concatenate((corners, corners + 1 + random.random((count, 2), dtype=np.float32) * 80), axis=1)
    logits = random.standard_normal(count, dtype=np.float32)
    given = pictures(96, 128)
    found = compiled.refine([level[0] for level in compiled.score(*given).features], boxes, logits)
    assert found.boxes.shape == (count, 4)
    if not count:
        return
    with torch.inference_mode():
        features = network(*map(torch.from_numpy, given)).features
        tensors = torch.from_numpy(boxes), torch.zeros(count, dtype=torch.int64), torch.from_numpy(logits)
        new_logits, deltas = network.refinement(features, *tensors)
        moved = proposing.decode_deltas(deltas, tensors[0])
    fused = new_logits.numpy() + cascade.refinement.first_weight * logits  # type: ignore[union-attr]
    np.testing.assert_allclose(found.logits, fused, atol=1e-4)
    np.testing.assert_allclose(found.boxes, moved.numpy(), atol=1e-2)


@pytest.mark.parametrize("stages", [1, 2])
def test_the_whole_way_ends_in_the_boxes_of_torch(tiny_config: ModelConfig, cascade: ModelConfig, stages: int):
    config = cascade if stages == 2 else tiny_config
    network = network_of(config)
    pixels, contents = pictures(96, 96, 2)
    selections = [Selection(top_n=40), Selection(top_n=10, nms_iou=0.5)]
    found = propose(compiled_of(network, config), pixels, contents, selections)
    with torch.inference_mode():
        tensors = torch.from_numpy(pixels), torch.from_numpy(contents)
        expected = proposing.propose(network, *tensors, config.selection, selections)
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) == len(theirs.boxes) > 5
        assert ours.truncated == theirs.truncated
        np.testing.assert_allclose(ours.scores, theirs.scores.numpy(), atol=1e-4)
        nearest = np.abs(ours.boxes[:, None] - theirs.boxes.numpy()).max(axis=-1).min(axis=1)
        assert nearest.max() < 1e-2


def test_threads_that_call_at_once_get_their_own_answers(cascade: ModelConfig):
    compiled = compiled_of(network_of(cascade), cascade, calls=2)
    given = [pictures(*size) for size in ((96, 96), (128, 96), (96, 128), (64, 96))]
    wanted = [Selection(top_n=40)]
    expected = [propose(compiled, *one, wanted)[0] for one in given]
    assert len({one.scores.tobytes() for one in expected}) == len(given)
    faults: list[AssertionError] = []

    def call(index: int) -> None:
        try:
            for _ in range(10):
                [found] = propose(compiled, *given[index], wanted)
                np.testing.assert_allclose(found.scores, expected[index].scores, atol=1e-5)
                np.testing.assert_allclose(found.boxes, expected[index].boxes, atol=1e-2)
        except AssertionError as fault:
            faults.append(fault)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(given))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
