"""A process that measures one side, and what a side is made of."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

_REPOSITORY = Path(__file__).parent.parent

Facts = dict[str, float]
Go = Callable[[], object]


class Side:
    """A process that measures one side, driven line by line. Several start at once; each is ready once it has facts."""

    def __init__(self, side: str, network: str, weights: Path, *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.side_process", side, network, str(weights), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_REPOSITORY,
        )
        self._send()

    @cached_property
    def facts(self) -> Facts:
        """What the side says of itself, as soon as it is ready."""
        found: Facts = json.loads(self._receive())
        return found

    def measure(self) -> float:
        """One go, in milliseconds."""
        assert self.facts is not None  # the first line has been read
        self._send()
        return float(self._receive())

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.communicate()

    def _send(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def _receive(self) -> str:
        assert self._process.stdout is not None
        if not (answer := self._process.stdout.readline()):
            raise RuntimeError(f"a side has ended with {self._process.wait()}; what it said is above")
        return answer


@contextlib.contextmanager
def started(sides: Mapping[str, tuple[str, ...]], network: str, *options: str) -> Iterator[dict[str, Side]]:
    """Sides by name, from each one's own arguments (side, weights, options) and those of all; ready, and idle."""
    with contextlib.ExitStack() as stack:
        running = {}
        for name, (side, weights, *own) in sides.items():
            running[name] = Side(side, network, Path(weights), *own, *options)
            stack.callback(running[name].close)
        for one in running.values():
            assert one.facts is not None
        yield running
