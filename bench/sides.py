"""What is compared, each side in a process of its own, from decoded pictures to proposals.

A process each, because an allocator's settings hold for a whole process: torchvision runs as its user gets it, with the
C library's defaults. ``python -m bench.sides SIDE ...`` prints its facts as JSON for the first line that it reads, and
the milliseconds of one go for each that follows; between two goes it is idle, and takes nothing from the others.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.transforms.functional import pil_to_tensor

from bench.networks import load_peer
from bench.photographs import photograph
from model.allocator import keep_freed_memory
from model.checkpoints.checkpoint import load_checkpoint
from model.checkpoints.restore import restore_network
from model.imaging.canvas import InputRule, draw_on_canvas
from model.network.selection import select_proposals
from model.predictor import Predictor
from model.structures import ImageSize, Selection

_REPOSITORY = Path(__file__).parent.parent
# A VGA frame: what many cameras send, and about what applications make of larger pictures before they upload them.
_SIZE = (640, 480)
# The matrices whose product is the floor: large enough to leave the caches, small enough for a second.
_MATRIX = 2048

Facts = dict[str, float]
Go = Callable[[], object]


class Side:
    """A process that measures one side, driven line by line."""

    def __init__(self, side: str, network: str, weights: Path, *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.sides", side, network, str(weights), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_REPOSITORY,
        )
        self.facts: Facts = json.loads(self._ask())

    def measure(self) -> float:
        """One go, in milliseconds."""
        return float(self._ask())

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()

    def _ask(self) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        if not (answer := self._process.stdout.readline()):
            raise RuntimeError(f"a side has ended with {self._process.wait()}; what it said is above")
        return answer


def torchvision_side(arguments: argparse.Namespace) -> tuple[Go, Facts]:
    """torchvision's transform, backbone and RPN, eager fp32, as its documentation runs them."""
    peer = load_peer(arguments.network, arguments.weights)
    transform, backbone, rpn = (peer.get_submodule(name) for name in ("transform", "backbone", "rpn"))
    pixels = [pil_to_tensor(picture) for picture in _pictures(arguments.batch)]

    def propose() -> object:
        images, _ = transform([picture / 255 for picture in pixels])
        return rpn(images, backbone(images.tensors))

    return propose, {}


def our_side(arguments: argparse.Namespace) -> tuple[Go, Facts]:
    """Our `Predictor`, as the service loads it."""
    keep_freed_memory()
    predictor = Predictor.load(arguments.weights, device="cpu", precision=arguments.precision)
    pictures = _pictures(arguments.batch)
    placements = [predictor.input_rule.place(ImageSize(*picture.size)) for picture in pictures]
    selections = [Selection(top_n=predictor.max_top_n)] * len(pictures)

    def propose() -> object:
        pixels = np.stack([draw_on_canvas(*pair) for pair in zip(pictures, placements, strict=True)])
        return predictor.predict(pixels, placements, selections)

    return propose, {}


def torchvision_after(arguments: argparse.Namespace) -> tuple[Go, Facts]:
    """What torchvision does after the network: anchors, decoding all of them, top-k, NMS."""
    keep_freed_memory()  # on both sides: here not the allocator is compared
    peer = load_peer(arguments.network, arguments.weights)
    transform, backbone, rpn = (peer.get_submodule(name) for name in ("transform", "backbone", "rpn"))
    images, _ = transform([pil_to_tensor(picture) / 255 for picture in _pictures(arguments.batch)])
    features = list(backbone(images.tensors).values())
    logits, deltas = rpn.get_submodule("head")(features)

    def after() -> object:
        return _filter_proposals(rpn, images, features, logits, deltas)

    return after, {}


def our_after(arguments: argparse.Namespace) -> tuple[Go, Facts]:
    """What we do after the network."""
    keep_freed_memory()
    checkpoint = load_checkpoint(arguments.weights)
    network = restore_network(checkpoint, arguments.weights)
    pixels, contents = _on_canvas(checkpoint.config.input, arguments.batch)
    scored = network(pixels, contents)
    selections = [Selection(top_n=checkpoint.config.selection.post_nms_top_n)] * arguments.batch
    return lambda: select_proposals(scored, contents, checkpoint.config.selection, selections), {}


def floor_side(arguments: argparse.Namespace) -> tuple[Go, Facts]:
    """One matrix product, whose rate the network's could at best be; the facts are both amounts of work."""
    checkpoint = load_checkpoint(arguments.weights)
    network = restore_network(checkpoint, arguments.weights)
    pixels, contents = _on_canvas(checkpoint.config.input, arguments.batch)
    with FlopCounterMode(display=False) as counter:
        network(pixels, contents)
    dtype = torch.bfloat16 if arguments.precision == "bf16" else torch.float32
    left, right = torch.randn(2, _MATRIX, _MATRIX).to(dtype)
    work = {"network": float(counter.get_total_flops()), "product": 2.0 * _MATRIX**3}
    return lambda: left @ right, work


def _filter_proposals(
    rpn: nn.Module, images: ImageList, features: list[Tensor], logits: list[Tensor], deltas: list[Tensor]
) -> object:
    """The end of torchvision's ``RegionProposalNetwork.forward``, after its head."""
    anchors = rpn.get_submodule("anchor_generator")(images, features)
    counts = [level[0].numel() for level in logits]
    joined_logits, joined_deltas = concat_box_prediction_layers(list(logits), list(deltas))
    boxes = rpn.box_coder.decode(joined_deltas, anchors).view(len(anchors), -1, 4)  # type: ignore[operator, union-attr]
    return rpn.filter_proposals(boxes, joined_logits, images.image_sizes, counts)  # type: ignore[operator]


def _pictures(count: int) -> list[Image.Image]:
    return [photograph(*_SIZE, seed=seed) for seed in range(count)]


def _on_canvas(rule: InputRule, count: int) -> tuple[Tensor, Tensor]:
    pictures = _pictures(count)
    placements = [rule.place(ImageSize(*picture.size)) for picture in pictures]
    pixels = np.stack([draw_on_canvas(*pair) for pair in zip(pictures, placements, strict=True)])
    sizes = [(p.content.width, p.content.height) for p in placements]
    return torch.from_numpy(pixels), torch.tensor(sizes, dtype=torch.float32)


SIDES: dict[str, Callable[[argparse.Namespace], tuple[Go, Facts]]] = {
    "torchvision": torchvision_side,
    "ours": our_side,
    "torchvision-after": torchvision_after,
    "ours-after": our_after,
    "floor": floor_side,
}


@torch.inference_mode()
def main() -> None:
    """Answer the lines of standard input."""
    parser = argparse.ArgumentParser(prog="python -m bench.sides")
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("network")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--precision", default="fp32")
    arguments = parser.parse_args()
    go, facts = SIDES[arguments.side](arguments)
    for number, _ in enumerate(sys.stdin):
        if not number:
            print(json.dumps(facts), flush=True)
            continue
        started = time.perf_counter()
        go()
        print((time.perf_counter() - started) * 1000, flush=True)


if __name__ == "__main__":
    main()
