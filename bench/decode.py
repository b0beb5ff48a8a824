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
_FRAME, _PHOTOGRAPH = "640x480", "4000x3000"
# Four of each: other photographs have other detail.
_SETS: dict[str, Sizes] = {_FRAME: ((640, 480),) * 4, _PHOTOGRAPH: ((4000, 3000),) * 4}
_ROUNDS = 20
_METHOD = (
    "JPEG to RGB as the service decodes it, at the smallest sufficient DCT scale, one thread, not yet laid on the "
    f"canvas; milliseconds a picture, in turns, {SPREAD}."
)


def run(*, quick: bool = False) -> Page:
    """Measure both sizes in turns."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        _, weights = write_weights(_NETWORK)
        for name, sizes in _SETS.items():
            write_pictures(sizes, Path(folder) / name)
        wanted = {name: ("decode", str(weights), "--pictures", str(Path(folder) / name)) for name in _SETS}
        sides = stack.enter_context(started(wanted, _NETWORK))
        rounds = 2 if quick else _ROUNDS
        taken = take_turns({name: side.measure for name, side in sides.items()}, rounds=rounds, warm_up=1)
    return page({name: _a_picture(samples, len(_SETS[name])) for name, samples in taken.items()})


def page(samples: dict[str, Samples]) -> Page:
    """Both times and their ratio."""
    slower = spread_of(ratios(samples[_PHOTOGRAPH], samples[_FRAME]), 1)
    rows = (
        (_FRAME, spread_of(samples[_FRAME], 2), "1", ""),
        (_PHOTOGRAPH, spread_of(samples[_PHOTOGRAPH], 2), slower, "<= 6"),
    )
    return Page("decode", "Decoding", _METHOD, (Table(("JPEG", "ms", "times the frame", "wanted"), rows),))


def _a_picture(samples: Samples, pictures: int) -> Samples:
    return Samples(tuple(value / pictures for value in samples.values))
