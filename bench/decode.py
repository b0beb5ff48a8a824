"""``python -m bench decode``: what a camera's photograph costs to decode beside a small frame."""

import contextlib
import tempfile
from pathlib import Path

from bench.networks import write_weights
from bench.pages import Page
from bench.picture_sets import Sizes, write_pictures
from bench.rounds import Samples, ratios, take_turns
from bench.side import started
from bench.table import SPREAD, Table, spread_of

_NETWORK = "mobilenet"
# Progressive files are what many programs write for the web; a camera does not.
_FRAME, _PHOTOGRAPH, _PROGRESSIVE = "640x480", "4000x3000", "4000x3000, progressive"
# Four of each: other photographs have other detail.
_SETS: dict[str, Sizes] = {
    _FRAME: ((640, 480),) * 4,
    _PHOTOGRAPH: ((4000, 3000),) * 4,
    _PROGRESSIVE: ((4000, 3000),) * 4,
}
_ROUNDS = 20
_METHOD = (
    "JPEG to RGB as the service decodes it, at the smallest sufficient DCT scale, one thread, not yet laid on the "
    f"canvas; milliseconds a picture, in turns, {SPREAD}."
)


def run(*, quick: bool = False) -> Page:
    """Measure all of them in turns."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        _, weights = write_weights(_NETWORK)
        for name, sizes in _SETS.items():
            write_pictures(sizes, Path(folder) / name, progressive=name == _PROGRESSIVE)
        wanted = {name: ("decode", str(weights), "--pictures", str(Path(folder) / name)) for name in _SETS}
        sides = stack.enter_context(started(wanted, _NETWORK))
        rounds = 2 if quick else _ROUNDS
        taken = take_turns({name: side.measure for name, side in sides.items()}, rounds=rounds, warm_up=1)
    return page({name: _a_picture(samples, len(_SETS[name])) for name, samples in taken.items()})


def page(samples: dict[str, Samples]) -> Page:
    """Their times, and how many times the frame's these are."""
    wanted = {_PHOTOGRAPH: "<= 6"}
    slower = {name: spread_of(ratios(taken, samples[_FRAME]), 1) for name, taken in samples.items()} | {_FRAME: "1"}
    rows = tuple((name, spread_of(taken, 2), slower[name], wanted.get(name, "")) for name, taken in samples.items())
    return Page("decode", "Decoding", _METHOD, (Table(("JPEG", "ms", "times the frame", "wanted"), rows),))


def _a_picture(samples: Samples, pictures: int) -> Samples:
    return Samples(tuple(value / pictures for value in samples.values))
