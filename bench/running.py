"""Running parts one after the other."""

import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bench.load import UnexpectedAnswers
from bench.pages import Page

Part = Callable[[], Page]


def run_parts(parts: Iterable[Part], folder: Path, machine: Mapping[str, str], command: str) -> int:
    """Measure each, write and print it as soon as it is done; the exit status.

    A part to which something was answered that must not be has no result, and is told on standard error; the others go
    on, and the status is 1.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as an interrupt: what was started is ended, too
    failed = 0
    for part in parts:
        try:
            print(part().write(folder, machine, command), flush=True)
        except UnexpectedAnswers as error:
            print(f"NO RESULT: neither proposals nor a refusal: {error}", file=sys.stderr, flush=True)
            failed = 1
    return failed
