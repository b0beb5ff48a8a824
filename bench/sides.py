"""What is compared, each side in a process of its own: here from decoded pictures to proposals.

A process each, because an allocator's settings hold for a whole process: torchvision runs as its user gets it, with the
C library's defaults. ``python -m bench.side_process SIDE ...`` prints its facts as JSON for the first line that it
reads, and the milliseconds of one go for each that follows; between two goes it is idle, and takes nothing from the
others.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms.functional import pil_to_tensor

from bench.peer import filter_proposals, load_peer, parts
from bench.photographs import photograph
from bench.picture_sets import VGA
from bench.side import Facts, Go
from bench.whole_way import decode_alone, decode_and_predict, decode_and_torchvision
from model.allocator import keep_freed_memory
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.restore import restore_network
from model.config import SelectionConfig
from model.cores import usable_cores
from model.cuda_graphs import CUDAGraphRecorder
from model.device_execution import ROUNDS
from model.host import selection
from model.host.graphs import DEFAULT_CACHE, GraphFolder
from model.host.scored import ScoredAnchors as HostScores
from model.host.suppression import Suppress, suppress
from model.imaging.canvas import InputRule, draw_on_canvas
from model.network.device_selection import Wanted, select_anchors
from model.network.packed_boxes import pack, unpack
from model.network.rpn import ScoredAnchors
from model.network.selection import on_host
from model.network.serving import make_ready
from model.openvino_execution import OpenVINOExecution
from model.precision import choose_precision
from model.predictor import Predictor
from model.preparation import graphs_of
from model.structures import Canvas, ImageSize, PixelArray, Placement, Selection

T = TypeVar("T")

# The matrices whose product is the floor: large enough to leave the caches, small enough for a second; a GPU needs
# larger ones to be filled.
_MATRIX = {"cpu": 2048, "cuda": 8192}
# Of several goes the mean: on a GPU enough for the clocks to rise, and with --loop on any device, or what takes a
# millisecond would tell of a processor that has just woken. A side that takes tenths of a second a go makes fewer.
_SEVERAL, _SECONDS = 10, 0.3


class Following(Generic[T]):
    """What follows something else, which is not timed: done anew before each go, so that caches are as it leaves them,
    or ``once``, for a loop of the rest alone."""

    def __init__(self, first: Callable[[], T], then: Callable[[T], object], *, once: bool) -> None:
        self._first, self._then, self._once = first, then, once
        self._given: T | None = None

    def prepare(self) -> None:
        """Do what comes first."""
        if self._given is None or not self._once:
            self._given = self._first()

    def __call__(self) -> object:
        """What follows."""
        assert self._given is not None
        return self._then(self._given)


def torchvision_side(arguments: argparse.Namespace) -> tuple[Go, Facts]:
    """torchvision's transform, backbone and RPN, eager fp32, as its documentation runs them; on CUDA with TF32."""
    if arguments.device != "cpu":
        torch.set_float32_matmul_precision("high")
    peer = load_peer(arguments.network, arguments.weights).to(arguments.device)
    transform, backbone, rpn = parts(peer)
    pixels = [pil_to_tensor(picture) for picture in _pictures(arguments.batch)]

    def propose() -> object:
        images, _ = transform([picture.to(arguments.device) / 255 for picture in pixels])
        return rpn(images, backbone(images.tensors))

    return propose, {}


def our_side(arguments: argparse.Namespace) -> tuple[Go, Facts]:
    """Our `Predictor`, as the service loads it, from upright pictures: resizing is in it, as in torchvision's.

    Several are resized on all cores, as by torch, and as in a service, whose threads decode and resize side by side.
    """
    keep_freed_memory()
    predictor = Predictor.load(
        arguments.weights, device=arguments.device, precision=arguments.precision, runtime=arguments.runtime
    )
    pictures = _pictures(arguments.batch)
    placements = [predictor.input_rule.place(ImageSize(*picture.size)) for picture in pictures]
    selections = [Selection(top_n=predictor.max_top_n)] * len(pictures)
    if predictor.draws:
        decoded = [np.asarray(picture) for picture in pictures]
        return lambda: predictor.predict_undrawn(decoded, placements, selections), {}
    # a lone picture stays in the thread that asks: in another one it would wait to be woken
    draw_all = map if len(pictures) == 1 else ThreadPoolExecutor(usable_cores()).map

    def propose() -> object:
        pixels = np.stack(list(draw_all(draw_on_canvas, pictures, placements)))
        return predictor.predict(pixels, placements, selections)

    return propose, {}


def torchvision_after(arguments: argparse.Namespace) -> tuple[Go, Facts]:
    """What torchvision does after the network: anchors, decoding all of them, top-k, NMS."""
    keep_freed_memory()  # on both sides: here not the allocator is compared
    peer = load_peer(arguments.network, arguments.weights).to(arguments.device)
    transform, backbone, rpn = parts(peer)
    images, _ = transform([pil_to_tensor(picture).to(arguments.device) / 255 for picture in _pictures(arguments.batch)])
    head = rpn.get_submodule("head")

    def network() -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        features = list(backbone(images.tensors).values())
        return features, *head(features)

    return Following(network, lambda scored: filter_proposals(rpn, images, *scored), once=arguments.loop), {}


def our_after(arguments: argparse.Namespace) -> tuple[Go, Facts]:
    """What we do after the network: after OpenVINO's where it is installed, as in a service."""
    keep_freed_memory()
    checkpoint = load_checkpoint(arguments.weights)
    config = checkpoint.config.selection
    selections = [Selection(top_n=config.post_nms_top_n)] * arguments.batch
    pixels, contents = _on_canvas(checkpoint.config.input, arguments)
    if arguments.device != "cpu":
        network = restore_network(checkpoint, arguments.weights).to(arguments.device)
        return _after_on_device(network(pixels, contents), contents, config, selections), {}
    by_openvino = find_spec("openvino") is not None
    score, nms = (_by_openvino if by_openvino else _by_torch)(checkpoint, arguments, pixels, contents)
    sizes = contents.numpy()
    return Following(
        score,
        lambda scored: selection.select_proposals(scored, sizes, config, selections, nms=nms),
        once=arguments.loop,
    ), {}


def _by_openvino(
    checkpoint: Checkpoint, arguments: argparse.Namespace, pixels: Tensor, contents: Tensor
) -> tuple[Callable[[], HostScores], Suppress]:
    graphs = graphs_of(checkpoint, arguments.weights, GraphFolder(DEFAULT_CACHE), arguments.precision)
    execution = OpenVINOExecution(checkpoint.config, graphs, arguments.precision, 1, None)
    network = execution.network(Canvas(width=pixels.shape[2], height=pixels.shape[1]), alone=True)
    return partial(network.score, pixels.numpy(), contents.numpy()), network.nms


def _by_torch(
    checkpoint: Checkpoint, arguments: argparse.Namespace, pixels: Tensor, contents: Tensor
) -> tuple[Callable[[], HostScores], Suppress]:
    network = restore_network(checkpoint, arguments.weights)
    return lambda: on_host(network(pixels, contents)), suppress


def _after_on_device(
    scored: ScoredAnchors, contents: Tensor, config: SelectionConfig, selections: Sequence[Selection]
) -> Go:
    """Recorded as a CUDA graph, as `Predictor` has it, and read back."""
    wanted = Wanted.by(selections).to(contents.device)

    def select(contents: Tensor) -> Tensor:
        return pack(select_anchors(scored, contents, config, wanted, rounds=ROUNDS))

    recording = CUDAGraphRecorder(contents.device).record(select, [contents])
    if recording is None:
        raise RuntimeError("what comes after the network could not be recorded as a CUDA graph")
    return lambda: unpack(recording(contents).cpu().numpy(), selections)


def floor_side(arguments: argparse.Namespace) -> tuple[Go, Facts]:
    """One matrix product, whose rate the network's could at best be; the facts are both amounts of work."""
    work = _network_work(arguments)
    torch.cuda.empty_cache()  # the sides beside this one need it; nothing happens where no GPU is in use
    if arguments.device != "cpu":
        torch.set_float32_matmul_precision("high")  # TF32, as convolutions have it unless they are told not to
    side = _MATRIX["cpu" if arguments.device == "cpu" else "cuda"]
    left, right = torch.randn(2, side, side).to(arguments.device, _dtype(arguments))
    return lambda: left @ right, {"network": work, "product": 2.0 * side**3}


def backbone_side(arguments: argparse.Namespace) -> tuple[Go, Facts]:
    """The backbone alone, prepared as `Predictor` prepares it, from normalised pictures; the fact is its work."""
    keep_freed_memory()
    checkpoint = load_checkpoint(arguments.weights)
    network = restore_network(checkpoint, arguments.weights).eval().to(arguments.device)
    pictures = network.normalisation(*_on_canvas(checkpoint.config.input, arguments))
    work = len(pictures) * _work(lambda: network.backbone(pictures[:1]))  # of what is fused it would miss some
    make_ready(network, _precision(arguments), arguments.device)
    network = network.to(memory_format=torch.channels_last)
    pictures = pictures.to(_dtype(arguments))
    torch.cuda.empty_cache()
    return lambda: network.backbone(pictures), {"network": work}


def _network_work(arguments: argparse.Namespace) -> float:
    """The network's for a batch, counted on one picture, since counting computes it all, in fp32."""
    checkpoint = load_checkpoint(arguments.weights)
    network = restore_network(checkpoint, arguments.weights).to(arguments.device)
    pixels, contents = _on_canvas(checkpoint.config.input, arguments)
    pictures: int = arguments.batch
    return pictures * _work(lambda: network(pixels[:1], contents[:1]))


def _work(forward: Go) -> float:
    """Floating-point operations of one call."""
    with FlopCounterMode(display=False) as counter:
        forward()
    return float(counter.get_total_flops())


def _dtype(arguments: argparse.Namespace) -> torch.dtype:
    return torch.bfloat16 if _precision(arguments) == "bf16" else torch.float32


def _precision(arguments: argparse.Namespace) -> str:
    return choose_precision(arguments.precision, arguments.device)


def _pictures(count: int) -> list[Image.Image]:
    return [photograph(*VGA[0], seed=seed) for seed in range(count)]


def _laid_out(rule: InputRule, count: int) -> tuple[PixelArray, list[Placement]]:
    pictures = _pictures(count)
    placements = [rule.place(ImageSize(*picture.size)) for picture in pictures]
    return np.stack([draw_on_canvas(*pair) for pair in zip(pictures, placements, strict=True)]), placements


def _on_canvas(rule: InputRule, arguments: argparse.Namespace) -> tuple[Tensor, Tensor]:
    pixels, placements = _laid_out(rule, arguments.batch)
    sizes = [(p.content.width, p.content.height) for p in placements]
    contents = torch.tensor(sizes, dtype=torch.float32)
    return torch.from_numpy(pixels).to(arguments.device), contents.to(arguments.device)


SIDES: dict[str, Callable[[argparse.Namespace], tuple[Go, Facts]]] = {
    "torchvision": torchvision_side,
    "ours": our_side,
    "torchvision-after": torchvision_after,
    "ours-after": our_after,
    "floor": floor_side,
    "backbone": backbone_side,
    "decode-and-predict": decode_and_predict,
    "decode-and-torchvision": decode_and_torchvision,
    "decode": decode_alone,
}


@torch.inference_mode()
def main() -> None:
    """Answer the lines of standard input."""
    parser = argparse.ArgumentParser(prog="python -m bench.side_process")
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("network")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--loop", action="store_true", help="the mean of several goes, on any device")
    parser.add_argument("--pictures", type=Path, help="a folder of JPEGs, for the sides that decode")
    arguments = parser.parse_args()
    go, facts = SIDES[arguments.side](arguments)
    for number, _ in enumerate(sys.stdin):
        if not number:
            print(json.dumps(facts), flush=True)
            continue
        # a rotation goes on by one batch at a time, or some pictures would weigh more than others
        once = "goes" in facts or (arguments.device == "cpu" and not arguments.loop)
        goes = 1 if once else _SEVERAL
        print(timed(go, arguments.device, goes), flush=True)


def timed(go: Go, device: str, goes: int) -> float:
    """Milliseconds of one go, its device's work included.

    Of several the mean, each to its end, after one that is not timed: what has idled is slow to wake.
    """
    if goes > 1:
        _seconds(go, device)
    total, made = 0.0, 0
    while made < goes and total < _SECONDS:
        total += _seconds(go, device)
        made += 1
    return total * 1000 / made


def _seconds(go: Go, device: str) -> float:
    if isinstance(go, Following):
        go.prepare()
        _wait_for(device)
    started = time.perf_counter()
    go()
    _wait_for(device)
    return time.perf_counter() - started


def _wait_for(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
