"""A process that measures one side, and what a side is made of."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_REPOSITORY = Path(__file__).parent.parent

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
