"""The ranges of what layers read, measured while a network works on photographs."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from statistics import fmean
from typing import Any

from torch import Tensor, nn

from model.network.convolutions import Convolutions
from model.network.network import ProposalNetwork
from model.network.refinement import SecondStage
from model.quantization import Quantization, Range

# What reads the picture itself needs no range: it is given pixels (`model.host.picture_layer`), or stays in floating
# point. In 256 levels of what is normalised a step is more than one of the picture's, and `face` lost 0.7 points of
# AR@100.
_COLOURS = 3
# Of the second stage the two layers that take nearly all of its products; the last one's few give logits and deltas.
_SECOND_STAGE = ("refinement.fc1", "refinement.fc2")


class InputRanges:
    """Of each layer, one range for each pass through the network."""

    def __init__(self) -> None:
        self._seen: dict[str, list[Range]] = defaultdict(list)
        self._read: dict[str, Range] = {}

    def begin(self) -> None:
        """Another pass begins."""
        for name, range_ in self._read.items():
            self._seen[name].append(range_)
        self._read = {}

    def add(self, name: str, read: Tensor) -> None:
        """What a layer reads; the head's, in a pass, of one level after another."""
        if not read.numel():  # the second stage of a picture without boxes
            return
        low, high = (float(extreme) for extreme in read.detach().float().aminmax())
        before = self._read.get(name, (low, high))
        self._read[name] = min(low, before[0]), max(high, before[1])

    def quantization(self) -> Quantization:
        """The mean of the extremes: one picture's outlier must not make everybody's steps coarse.

        A layer that reads one value alone, as behind a ReLU that never opens, has no range.

        Raises:
            ConfigError: nothing was seen, or what is not finite.
        """
        self.begin()
        extremes = {name: list(zip(*seen, strict=True)) for name, seen in self._seen.items()}
        means = {name: (fmean(lows), fmean(highs)) for name, (lows, highs) in extremes.items()}
        return Quantization({name: (low, high) for name, (low, high) in means.items() if low != high})


@contextlib.contextmanager
def recorded_ranges(network: ProposalNetwork) -> Iterator[InputRanges]:
    """What runs through the network meanwhile is recorded, each pass by itself."""
    ranges = InputRanges()

    def read(name: str, _: nn.Module, given: tuple[Any, ...]) -> None:
        ranges.add(name, given[0])

    handles = [network.backbone.register_forward_pre_hook(lambda _, __: ranges.begin())]
    handles += [module.register_forward_pre_hook(partial(read, name)) for name, module in _layers(network)]
    try:
        yield ranges
    finally:
        for handle in handles:
            handle.remove()


def _layers(network: ProposalNetwork) -> Iterator[tuple[str, nn.Module]]:
    """What is worth being computed in integers, by the names that it has in the graphs."""
    for name, module in Convolutions(network).named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels != _COLOURS:
            yield name, module
    if network.refinement is not None:
        for name, module in SecondStage(network.refinement).named_modules():
            if name in _SECOND_STAGE:
                yield name, module
