"""``python -m bench soak``: whether memory stays flat under a long mixed load."""

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.load import Load, Plan, RunningLoad
from bench.pages import Page
from bench.picture_sets import MIXED, VGA, write_pictures
from bench.plots import lines
from bench.service_process import ServiceProcess
from bench.table import Table

_MIB = 2**20
_CLIENTS = 16
# The allocator keeps what is freed, so memory climbs while every batch size of every canvas of every model comes by for
# the first time. This share of the run is for that.
_SETTLING = 0.2
# What memory may grow by from then on, as a share of its median. Rare companions (a full batch of the largest canvas)
# still raise the heap's highest mark by some MiB late in a run. How small a leak shows depends on how many requests
# came by, so the page says it.
_TOLERANCE = 0.02
_EVERY_S = 10.0
# Every model of the embedded default, short answers and long ones.
_PATHS = ("/propose", "/propose?model=pedestrian&top_n=1000", "/propose?model=face&score_threshold=0.1")
_METHOD = (
    f"The embedded default under {_CLIENTS} clients with JPEGs from 640x480 to 12 megapixels, to all its models in "
    f"turn; resident memory of the service and its children. The fit leaves out the first {_SETTLING:.0%} of the run."
)


@dataclass(frozen=True, slots=True)
class Soak:
    """What was seen: ``samples`` of (seconds since the load began, MiB resident)."""

    samples: Sequence[tuple[float, float]]
    load: Load

    @property
    def settled(self) -> Sequence[tuple[float, float]]:
        """The samples after the settling."""
        return self.samples[int(len(self.samples) * _SETTLING) :]

    @property
    def slope(self) -> float:
        """MiB a second, fitted by least squares to what has settled."""
        times, memory = zip(*self.settled, strict=True)
        return statistics.linear_regression(times, memory).slope

    @property
    def growth(self) -> float:
        """MiB that the fit grows by over what has settled."""
        return self.slope * (self.settled[-1][0] - self.settled[0][0])

    @property
    def median(self) -> float:
        """MiB resident, the median of what has settled."""
        return statistics.median(memory for _, memory in self.settled)

    @property
    def visible_leak(self) -> float:
        """Bytes a request by which memory would have had to grow not to be called flat."""
        requests = self.load.rate * (self.settled[-1][0] - self.settled[0][0])
        return _TOLERANCE * self.median * _MIB / requests if requests else float("inf")

    @property
    def flat(self) -> bool:
        """It grew by no more than the tolerance."""
        return self.growth <= _TOLERANCE * self.median


def run(*, device: str = "cpu", minutes: float = 20.0, quick: bool = False) -> Page:
    """Load the service for so long and watch it."""
    seconds, every = (3.0, 0.5) if quick else (minutes * 60, _EVERY_S)
    with tempfile.TemporaryDirectory() as folder:
        pictures = [str(path) for path in write_pictures(VGA[:2] if quick else MIXED, Path(folder))]
        with ServiceProcess(RPN_DEVICE=device) as service:
            plan = Plan([service.address], pictures, _CLIENTS, seconds=seconds, paths=_PATHS, warm_up=0)
            return page(watch(service, plan, every=every), judged=not quick)


def watch(service: ServiceProcess, plan: Plan, *, every: float) -> Soak:
    """The service's memory every so many seconds while the plan runs."""
    running = RunningLoad(plan)
    try:
        began = time.monotonic()
        samples = []
        while not running.ended:
            samples.append((time.monotonic() - began, service.resident_bytes() / _MIB))
            time.sleep(every)
        return Soak(samples, running.result())
    finally:
        running.stop()


def page(soak: Soak, *, judged: bool = True) -> Page:
    """The verdict, and how it came about; ``judged``: whether memory that grows is a fault."""
    verdict = "flat" if soak.flat else "NOT FLAT"
    per_request = soak.slope * _MIB / soak.load.rate if soak.load.rate else 0.0
    rows = (
        ("verdict", f"**{verdict}** (at most {_TOLERANCE:.0%} of the median)"),
        ("growth after settling", f"{soak.growth:+.1f} MiB of {soak.median:.0f} MiB"),
        ("slope", f"{soak.slope * 3600:+.1f} MiB an hour, {per_request:+.0f} bytes a request"),
        ("smallest leak that would not have been called flat", f"{soak.visible_leak:,.0f} bytes a request"),
        ("load", f"{soak.samples[-1][0] / 60:.1f} minutes, {soak.load.rate:.1f} requests a second"),
        ("answers", ", ".join(f"{status}: {count}" for status, count in sorted(soak.load.statuses.items()))),
    )
    minutes = [(seconds / 60, memory) for seconds, memory in soak.samples]
    plots = {"memory": lines("resident memory over time", "minutes", "resident, MiB", {"resident": minutes})}
    fault = None if soak.flat or not judged else f"memory grew by {soak.growth:.1f} MiB"
    return Page("soak", "A long load", _METHOD, (Table(("", ""), rows),), plots, fault)
