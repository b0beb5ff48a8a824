"""Load over HTTP from a process of its own: what it is asked to do, and what came of it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

_REPOSITORY = Path(__file__).parent.parent
OK, _REFUSED = "200", "429"


class UnexpectedAnswers(Exception):
    """Something was answered that is neither proposals nor a refusal."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask, of whom and for how long. The process ends after ``requests`` or ``seconds``, whichever is first.

    ``addresses``: ``host:port``, over which the clients are spread; ``paths``: each picture is sent to each in turn;
    ``warm_up``: so many answers pass before anything is timed (None: as many as there are clients, so that all are at
    work); ``answers``: a folder for every different body of a picture's answers.
    """

    addresses: Sequence[str]
    pictures: Sequence[str]
    clients: int
    seconds: float = 60.0
    requests: int = sys.maxsize
    warm_up: int | None = None
    paths: Sequence[str] = ("/propose",)
    accept: str = "application/json"
    multipart: bool = False
    answers: str | None = None

    @property
    def untimed(self) -> int:
        """How many answers pass before anything is timed."""
        return self.clients if self.warm_up is None else self.warm_up


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it: ``rate`` in answers a second; percentiles of the time from a request's first byte to its
    answer's last, in milliseconds, of the timed requests that were answered with proposals; ``by_picture_ms``: the
    median of each one's own.

    ``statuses`` and ``broken`` (no whole answer) count every request from the first to the last; ``cpu_s`` is what the
    load's own process took of a processor in ``wall_s``.
    """

    clients: int
    seconds: float
    rate: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    statuses: dict[str, int]
    broken: int
    bytes_sent: int
    bytes_received: int
    cpu_s: float
    wall_s: float
    by_picture_ms: dict[str, float] = field(default_factory=dict)

    @property
    def refused(self) -> int:
        """Requests that were told to come again later."""
        return self.statuses.get(_REFUSED, 0)

    def check(self) -> "Load":
        """Itself, if all was answered with proposals or a refusal, and something was.

        Raises:
            UnexpectedAnswers: it was not.
        """
        others = set(self.statuses) - {OK, _REFUSED}
        if others or self.broken or OK not in self.statuses:
            raise UnexpectedAnswers(f"{self.clients} clients got {self.statuses}, {self.broken} broken")
        return self


class RunningLoad:
    """A load that has been started."""

    def __init__(self, plan: Plan) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.clients"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_REPOSITORY,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(plan)))
        self._process.stdin.close()

    @property
    def ended(self) -> bool:
        """It has nothing more to ask."""
        return self._process.poll() is not None

    def result(self) -> Load:
        """What came of it, once it has ended.

        Raises:
            UnexpectedAnswers: something was neither proposals nor a refusal.
            RuntimeError: the process failed; what it said is on standard error.
        """
        assert self._process.stdout is not None
        text = self._process.stdout.read()
        if self._process.wait():
            raise RuntimeError(f"the load ended with {self._process.returncode}; what it said is above")
        return Load(**json.loads(text)).check()

    def stop(self) -> None:
        """End it, wherever it is."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def run_load(plan: Plan) -> Load:
    """Start a load and wait for what comes of it; raises as `RunningLoad.result` does."""
    running = RunningLoad(plan)
    try:
        return running.result()
    finally:
        running.stop()
