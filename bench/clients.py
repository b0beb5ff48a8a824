"""The clients of a load: each asks again as soon as it is answered.

``python -m bench.clients`` reads a `Plan` as JSON on standard input and prints the `Load`. It imports nothing but the
standard library, so that it starts at once and leaves the processor to the service.
"""

import asyncio
import json
import sys
import time
import zlib
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path

from bench.connection import Answer, BrokenAnswer, Connection, request_bytes
from bench.load import Load, Plan
from bench.percentiles import percentile

# More than the service's own deadline and uploads together take: what has not come by then never will.
_PATIENCE_S = 60.0
# Where a connection broke, so that a dead server is not asked a thousand times a second.
_PAUSE_S = 0.05
# After a refusal that does not say when to come again.
_RETRY_S = 0.1
_OK, _REFUSED = 200, 429


@dataclass(slots=True)
class Tally:
    """What has been answered so far. Timing begins at one answer and ends at another, with all clients at work
    between, so that the rate is that of a steady state."""

    plan: Plan
    statuses: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    by_picture_ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    over: asyncio.Event = field(default_factory=asyncio.Event)
    asked_since: float = field(default_factory=time.perf_counter)
    started_cpu_s: float = field(default_factory=time.process_time)
    _completed: int = 0
    _began: float | None = None
    _last: float = 0.0
    _due: bool = False

    def begin(self) -> None:
        """Nothing has been asked yet."""
        if not self.plan.untimed:
            self._start(time.perf_counter())

    def answered(self, picture: str, answer: Answer, started: float) -> None:
        """A request of ``started`` (on the performance counter) has its whole answer."""
        now = time.perf_counter()
        self.statuses[str(answer.head.status)] += 1
        self.bytes_received += len(answer.body)
        if self._began is not None and not self.over.is_set() and answer.head.status == _OK:
            self.latencies_ms.append((now - started) * 1000)
            self.by_picture_ms[picture].append(self.latencies_ms[-1])
            self._last = now
        self._complete(now)

    def broke(self) -> None:
        """A request has no answer."""
        self.broken += 1
        self._complete(time.perf_counter())

    def load(self) -> Load:
        """The counts and percentiles."""
        seconds = self._last - self._began if self._began is not None and self.latencies_ms else 0.0
        times = self.latencies_ms or [0.0]
        return Load(
            clients=self.plan.clients,
            seconds=seconds,
            rate=len(self.latencies_ms) / seconds if seconds else 0.0,
            p50_ms=percentile(times, 0.5),
            p90_ms=percentile(times, 0.9),
            p99_ms=percentile(times, 0.99),
            statuses=dict(self.statuses),
            broken=self.broken,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
            cpu_s=time.process_time() - self.started_cpu_s,
            wall_s=time.perf_counter() - self.asked_since,
            by_picture_ms={picture: percentile(taken, 0.5) for picture, taken in self.by_picture_ms.items()},
        )

    def _start(self, now: float) -> None:
        self._began = now
        asyncio.get_running_loop().call_later(self.plan.seconds, self._end)

    def _end(self) -> None:
        """The time is up; where nothing has been timed yet, the next answer is the last."""
        self._due = True
        if self.latencies_ms:
            self.over.set()

    def _complete(self, now: float) -> None:
        self._completed += 1
        if self._began is None and self._completed >= self.plan.untimed:
            self._start(now)
        if self._due or self._completed >= self.plan.untimed + self.plan.requests:
            self.over.set()


class Rotation:
    """Every picture to every path, over and over; all clients draw from one."""

    def __init__(self, plan: Plan, address: str) -> None:
        names = [Path(picture) for picture in plan.pictures]
        self._turns = cycle(
            (
                name.stem,
                request_bytes(path, address, name.read_bytes(), accept=plan.accept, multipart=plan.multipart),
            )
            for path in plan.paths
            for name in names
        )

    def next(self) -> tuple[str, bytes]:
        """A picture's name and the request for it."""
        return next(self._turns)


class Client:
    """Asks, waits for the answer, asks again; a refused one comes again when it is told to."""

    def __init__(self, address: str, rotation: Rotation, tally: Tally) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host, int(port)
        self._rotation, self._tally = rotation, tally
        self._connection: Connection | None = None

    async def run(self) -> None:
        """Until the load is over; what is under way then is still waited for."""
        while not self._tally.over.is_set():
            pause = await self._turn(*self._rotation.next())
            if pause:
                await self._rest(pause)
        self._leave()

    async def _turn(self, picture: str, request: bytes) -> float:
        """One request; the seconds to wait before the next."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if self._connection is None or not self._connection.open:
                    self._leave()
                    self._connection = await Connection.to(self._host, self._port)
                self._tally.bytes_sent += len(request)
                answer = await self._connection.ask(request)
        except (OSError, BrokenAnswer, TimeoutError):
            self._tally.broke()
            self._leave()
            return _PAUSE_S
        self._tally.answered(picture, answer, started)
        if answer.head.status == _REFUSED:
            self._leave()  # a server may close what has been idle for as long as it says to wait
            return _RETRY_S if answer.head.retry_after is None else answer.head.retry_after
        self._keep(picture, answer)
        return 0.0

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._tally.over.wait()
        except TimeoutError:
            return

    def _keep(self, picture: str, answer: Answer) -> None:
        folder = self._tally.plan.answers
        if folder is None or answer.head.status != _OK:
            return
        path = Path(folder) / f"{picture}-{zlib.crc32(answer.body):08x}.answer"
        if not path.exists():
            path.write_bytes(answer.body)


async def generate(plan: Plan) -> Load:
    """The load, in this process."""
    tally = Tally(plan)
    rotations = {address: Rotation(plan, address) for address in plan.addresses}
    targets = cycle(plan.addresses)
    clients = [
        Client(address, rotations[address], tally) for _, address in zip(range(plan.clients), targets, strict=False)
    ]
    tally.begin()
    await asyncio.gather(*(client.run() for client in clients))
    return tally.load()


def main() -> None:
    """Run the plan on standard input."""
    print(json.dumps(asdict(asyncio.run(generate(Plan(**json.load(sys.stdin)))))))


if __name__ == "__main__":
    main()
