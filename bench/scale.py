"""``python -m bench scale``: what throughput and memory depend on, and what a start costs."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.load import Load, Plan, run_load
from bench.networks import write_weights
from bench.pages import Page
from bench.picture_sets import MIXED, VGA, Sizes, write_pictures
from bench.plots import lines
from bench.rounds import Samples
from bench.service_process import ServiceProcess
from bench.table import SPREAD, Table, spread_of
from model.cores import usable_cores

_NETWORK = "mobilenet"
_MIB = 2**20
# Where not the clients are what is varied: enough for full batches, few enough for the queue to stay short.
_CLIENTS = 8
# The embedded default's models, one request each in turn.
_ALL_MODELS = ("/propose", "/propose?model=pedestrian", "/propose?model=face")
_METHOD = (
    f"640x480 JPEGs, {_CLIENTS} clients, one process, `top_n` 300 and the settings' defaults, but for what each group "
    "varies (`top_n`: the model `general`, which answers up to 1000; `max_batch`: clients for two of the largest). "
    f"Those of one group take turns, a burst each a round; {SPREAD}. Memory is "
    "resident, of all processes together, right after a variant's first burst; in a group that shares one service it "
    "holds what those before have needed, too."
)


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure, and which values of everything that is varied."""

    rounds: int = 3
    seconds: float = 1.5
    clients: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    batches: tuple[int, ...] = (1, 4, 8, 16)
    sizes: tuple[tuple[int, int], ...] = ((320, 240), (640, 480), (1280, 960), (2592, 1944), (4000, 3000))
    top_n: tuple[int, ...] = (1, 100, 300, 1000)
    replicas: tuple[int, ...] = (1, 2)


_QUICK = Effort(1, 0.2, clients=(1, 4), batches=(1, 2), sizes=((320, 240), (640, 480)), top_n=(1, 10), replicas=(1, 2))


@dataclass(frozen=True, slots=True)
class Variant:
    """One value of what a group varies: whom to ask, and what."""

    name: str
    services: tuple[ServiceProcess, ...]
    pictures: tuple[str, ...]
    clients: int = _CLIENTS
    path: str = "/propose"

    def plan(self, seconds: float) -> Plan:
        """A burst of so many seconds."""
        addresses = [service.address for service in self.services]
        return Plan(addresses, self.pictures, self.clients, seconds=seconds, paths=(self.path,))

    def resident_mib(self) -> float:
        """All its processes together."""
        return sum(service.resident_bytes() for service in self.services) / _MIB


@dataclass(frozen=True, slots=True)
class Point:
    """What one variant gave, round by round, and the memory that its services held after the first."""

    loads: Sequence[Load]
    resident_mib: float

    def samples(self, name: str) -> Samples:
        """A figure of `Load` by its name."""
        return Samples(tuple(getattr(load, name) for load in self.loads))


Group = Mapping[str, Point]


def run(*, device: str = "cpu", quick: bool = False) -> Page:
    """Every group, one after the other, and a start of the embedded default."""
    effort = _QUICK if quick else Effort()
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder), effort, device)
        groups = {
            "clients": bench.clients(),
            "max_batch": bench.batches(),
            "picture": bench.sizes(),
            "top_n": bench.top_n(),
            "processes": bench.replicas(),
        }
        start = bench.start()
    return page(groups, start)


class _Bench:
    """The weights and pictures of one run, and the groups that it measures."""

    def __init__(self, folder: Path, effort: Effort, device: str) -> None:
        self._folder, self._effort, self._device = folder, effort, device
        _, self._weights = write_weights(_NETWORK)
        self._frames = self._write("frames", VGA)

    def clients(self) -> Group:
        """More clients of one service."""
        with self._serve() as service:
            return self._in_turns([Variant(str(c), (service,), self._frames, c) for c in self._effort.clients])

    def sizes(self) -> Group:
        """Larger pictures; the shape and so the canvas is the same."""
        with self._serve() as service:
            sent = {f"{w}x{h}": self._write(f"{w}", ((w, h),) * 4) for w, h in self._effort.sizes}
            return self._in_turns([Variant(name, (service,), pictures) for name, pictures in sent.items()])

    def top_n(self) -> Group:
        """Longer answers."""
        with self._serve(RPN_MODELS="general") as service:
            asked = {str(n): f"/propose?top_n={n}" for n in self._effort.top_n}
            return self._in_turns([Variant(n, (service,), self._frames, path=path) for n, path in asked.items()])

    def batches(self) -> Group:
        """Larger batches, a service for each; enough clients to fill the largest twice."""
        with ExitStack() as stack:
            return self._in_turns(
                [
                    Variant(
                        str(size),
                        (stack.enter_context(self._serve(RPN_MAX_BATCH=str(size))),),
                        self._frames,
                        clients=2 * max(self._effort.batches),
                    )
                    for size in self._effort.batches
                ]
            )

    def replicas(self) -> Group:
        """More processes, which share the cores among their threads."""
        with ExitStack() as stack:
            variants = []
            for count in self._effort.replicas:
                threads = str(max(1, usable_cores() // count))
                services = tuple(stack.enter_context(self._serve(OMP_NUM_THREADS=threads)) for _ in range(count))
                variants.append(Variant(str(count), services, self._frames))
            return self._in_turns(variants)

    def start(self) -> Table:
        """The embedded default: its start, and its memory, idle and with 32 clients of mixed pictures."""
        pictures = self._write("mixed", MIXED if self._effort.rounds > 1 else VGA)
        ready = []
        for _ in range(self._effort.rounds):
            with ServiceProcess(RPN_DEVICE=self._device) as service:
                ready.append(service.ready_s)
                idle = service.resident_bytes() / _MIB
                if len(ready) == self._effort.rounds:
                    run_load(Plan([service.address], pictures, 32, seconds=5 * self._effort.seconds, paths=_ALL_MODELS))
                busy = service.peak_bytes() / _MIB
        rows = (
            ("start to ready, s", spread_of(Samples(tuple(ready)), 1), "<= 8"),
            ("resident, idle, MiB", f"{idle:.0f}", "<= 858 (900 MB)"),
            ("resident at most, 32 clients, mixed pictures, all models, MiB", f"{busy:.0f}", "<= 1430 (1.5 GB)"),
        )
        return Table(("embedded default (general, pedestrian, face)", "measured", "wanted"), rows)

    def _in_turns(self, variants: Sequence[Variant]) -> Group:
        return measure(variants, self._effort)

    def _serve(self, **environment: str) -> ServiceProcess:
        return ServiceProcess(**{"RPN_MODELS": f"peer={self._weights}", "RPN_DEVICE": self._device, **environment})

    def _write(self, name: str, sizes: Sizes) -> tuple[str, ...]:
        return tuple(str(path) for path in write_pictures(sizes, self._folder / name))


def measure(variants: Sequence[Variant], effort: Effort) -> Group:
    """A burst each a round; the first round only warms up, and shows the memory."""
    loads: dict[str, list[Load]] = {variant.name: [] for variant in variants}
    resident: dict[str, float] = {}
    for round_ in range(1 + effort.rounds):
        for variant in variants:
            load = run_load(variant.plan(effort.seconds))
            if round_:
                loads[variant.name].append(load)
            else:
                resident[variant.name] = variant.resident_mib()
    return {variant.name: Point(loads[variant.name], resident[variant.name]) for variant in variants}


def page(groups: Mapping[str, Group], start: Table) -> Page:
    """Tables and plots of what was found."""
    clients = {int(name): point for name, point in groups["clients"].items()}
    plots = {
        "requests a second": lines(
            "requests a second against clients",
            "clients",
            "requests a second",
            {"640x480": [(c, point.samples("rate").median) for c, point in clients.items()]},
            log_x=True,
        ),
        "p99": lines(
            "latency against clients",
            "clients",
            "ms",
            {
                name: [(c, point.samples(f"{name}_ms").median) for c, point in clients.items()]
                for name in ("p50", "p90", "p99")
            },
            log_x=True,
        ),
    }
    tables = (start, *(table(varied, group) for varied, group in groups.items()))
    return Page("scale", "What throughput and memory depend on", _METHOD, tables, plots)


def table(varied: str, group: Group) -> Table:
    """A row for each variant."""
    rows = [
        (
            name,
            spread_of(point.samples("rate"), 1),
            *(spread_of(point.samples(column), 1) for column in ("p50_ms", "p90_ms", "p99_ms")),
            str(sum(load.refused for load in point.loads)),
            f"{point.resident_mib:.0f}",
        )
        for name, point in group.items()
    ]
    header = (varied, "requests a second", "p50, ms", "p90", "p99", "429", "resident, MiB")
    return Table(header, tuple(rows))
