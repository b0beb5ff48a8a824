"""Measuring the service over HTTP in turns with what the same pictures take in a plain loop in process."""

import contextlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.answers import Agreement
from bench.bursts import Burst, burst
from bench.crowd import compare_answers
from bench.load import Load, Plan, run_load
from bench.rounds import Samples
from bench.service_process import ServiceProcess
from bench.side import Side, started

NETWORK = "mobilenet"
# The last are more than one process holds by default (RPN_MAX_REQUESTS), so that some are refused.
CLIENTS = (1, 8, 32, 128, 160)
# The ceiling is the better of a picture at a time and of full batches.
CEILINGS = {"decode + predict, batch 1": "1", "decode + predict, batch 8": "8"}
ALONE = "decode + predict, batch 1"
PEER = "plain torchvision"


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: so many rounds, in each so many seconds of every load and ceiling."""

    rounds: int = 5
    seconds: float = 3.0
    clients: tuple[int, ...] = CLIENTS


@dataclass(frozen=True, slots=True)
class Serving:
    """One set of pictures, by their names: every round's bursts in process by side, and loads by their number of
    clients."""

    pictures: str
    in_process: Mapping[str, Sequence[Burst]]
    loads: Mapping[int, Sequence[Load]]
    agreement: Agreement
    compared: int
    names: tuple[str, ...]

    @property
    def ceiling(self) -> Samples:
        """Pictures a second of the better ceiling, better by its median."""
        return max((self.rates(name) for name in CEILINGS), key=lambda rates: rates.median)

    def rates(self, side: str) -> Samples:
        """Pictures a second of a side in process."""
        return Samples(tuple(burst.rate for burst in self.in_process[side]))

    def served(self, clients: int) -> Samples:
        """Requests a second over HTTP."""
        return Samples(tuple(load.rate for load in self.loads[clients]))

    def latency(self, clients: int, name: str) -> Samples:
        """A percentile over HTTP (``p50_ms``, ``p90_ms``, ``p99_ms``), round by round."""
        return Samples(tuple(getattr(load, name) for load in self.loads[clients]))

    @property
    def added(self) -> Samples:
        """How much longer a lone client waits than decode + predict take, in milliseconds, round by round: each picture
        beside itself, and of these the median."""
        return Samples(
            tuple(
                statistics.median(
                    load.by_picture_ms[name] - ms
                    for name, ms in zip(self.names, burst.by_turn_ms, strict=True)
                    if name in load.by_picture_ms
                )
                for load, burst in zip(self.loads[1], self.in_process[ALONE], strict=True)
            )
        )


@contextlib.contextmanager
def contenders(
    weights: tuple[Path, Path], folder: Path, *, device: str, replicas: int
) -> Iterator[tuple[dict[str, Side], list[ServiceProcess]]]:
    """The sides in process and the services, all started and ready, idle until they are asked."""
    theirs, ours = map(str, weights)
    sides: dict[str, tuple[str, ...]] = {
        name: ("decode-and-predict", ours, "--batch", batch) for name, batch in CEILINGS.items()
    }
    sides[PEER] = ("decode-and-torchvision", theirs)
    options = ("--pictures", str(folder), "--device", device, "--precision", "auto")
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(started(sides, NETWORK, *options))
        services = [
            stack.enter_context(ServiceProcess(RPN_MODELS=f"peer={ours}", RPN_DEVICE=device)) for _ in range(replicas)
        ]
        yield running, services


def measure(
    name: str, weights: tuple[Path, Path], pictures: list[Path], *, effort: Effort, device: str, replicas: int
) -> Serving:
    """Rounds of one burst in process each, then one load for each number of clients."""
    with contenders(weights, pictures[0].parent, device=device, replicas=replicas) as (sides, services):
        addresses = [service.address for service in services]
        sent = [str(picture) for picture in pictures]
        in_process: dict[str, list[Burst]] = {side: [] for side in sides}
        loads: dict[int, list[Load]] = {clients: [] for clients in effort.clients}
        for side in sides.values():
            burst(side, 0.0)
        same, compared = compare_answers(addresses, sent)
        for _ in range(effort.rounds):
            for side_name, side in sides.items():
                in_process[side_name].append(burst(side, effort.seconds))
            for clients, taken in loads.items():
                taken.append(run_load(Plan(addresses, sent, clients, seconds=effort.seconds)))
    return Serving(name, in_process, loads, same, compared, tuple(picture.stem for picture in pictures))
