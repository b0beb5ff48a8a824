"""Whoever computes the convolutions, the anchors are scored alike."""

import copy
import threading

import pytest
import torch
from torch import nn

from model.architectures import architecture
from model.config import ModelConfig
from model.network.network import ProposalNetwork, build_network
from model.network.openvino_network import OpenVINONetwork, Share, compile_convolutions, hand_over
from model.network.rpn import ScoredAnchors

pytest.importorskip("openvino")

# One of each kind: two outputs for objectness, a pyramid whose two coarsest levels have one stride, a second stage.
NAMES = ("rpn_vgg16", "rpn_mobilenet_v3_large_320_fpn", "rpn_regnet_x_400mf_fpn_cascade")


def network_of(config: ModelConfig) -> ProposalNetwork:
    torch.manual_seed(0)
    network = build_network(config).eval()
    for layer in (network.rpn.head.cls_logits, network.rpn.head.bbox_pred):
        nn.init.normal_(layer.weight, std=0.1)  # fresh ones say the same of every anchor
    return network


def compiled_of(network: ProposalNetwork, calls: int = 1) -> OpenVINONetwork:
    (compiled,) = compile_convolutions(network, [Share(threads=2, calls=calls)], torch.float32)
    own = copy.deepcopy(network)
    hand_over(own)
    return OpenVINONetwork(own, compiled)


def pictures(width: int, height: int, count: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(width * height)
    pixels = torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)
    contents = torch.tensor([[width - 9.0 * n, height - 5.0 * n] for n in range(count)])
    return pixels, contents


def assert_same(found: ScoredAnchors, expected: ScoredAnchors) -> None:
    for ours, theirs in zip(found.logits + found.deltas, expected.logits + expected.deltas, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * max(1.0, float(theirs.abs().max())))
    for ours, theirs in zip(found.anchors, expected.anchors, strict=True):
        assert torch.equal(ours.boxes, theirs.boxes)


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_it_scores_as_torch_does_on_canvases_of_any_size(name: str):
    network = network_of(architecture(name))
    compiled = compiled_of(network)
    for width, height, count in ((96, 160, 1), (192, 96, 3), (96, 160, 2)):
        assert_same(compiled(*pictures(width, height, count)), network(*pictures(width, height, count)))


@torch.inference_mode()
def test_the_second_stages_features_are_narrowed_once():
    network = network_of(architecture(NAMES[2]))
    compiled = compiled_of(network)
    assert network.refinement is not None
    expected = [network.refinement.narrow(level) for level in network(*pictures(96, 96)).features]
    for ours, theirs in zip(compiled(*pictures(96, 96)).features, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    assert compiled.refinement is not None
    assert isinstance(compiled.refinement.narrow, nn.Identity)


@torch.inference_mode()
def test_threads_that_call_at_once_get_their_own_answers(tiny_config: ModelConfig):
    network = network_of(tiny_config)
    compiled = compiled_of(network, calls=2)
    sizes = [(96, 96), (128, 96), (96, 128), (64, 96)]
    expected = [network(*pictures(*size)) for size in sizes]
    faults: list[AssertionError] = []

    def call(index: int) -> None:
        try:
            for _ in range(10):
                assert_same(compiled(*pictures(*sizes[index])), expected[index])
        except AssertionError as fault:
            faults.append(fault)

    threads = [threading.Thread(target=torch.inference_mode()(call), args=(i,)) for i in range(len(sizes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
