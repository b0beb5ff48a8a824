"""``python -m bench compare``: the service beside other serving frameworks, each with a network of the same weights."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.frameworks.framework_process import FRAMEWORKS, FrameworkProcess, installed
from bench.load import Load, Plan, run_load
from bench.networks import write_weights
from bench.pages import Page
from bench.picture_sets import SETS, VGA, Sizes, write_pictures
from bench.plots import bars
from bench.rounds import Samples, ratios
from bench.server_process import ServerProcess
from bench.service_process import ServiceProcess
from bench.table import SPREAD, Table, spread_of

OURS = "this service"
_NETWORK = "mobilenet"
_MIB = 2**20
_METHOD = (
    "The weights of one torchvision MobileNetV3 320 FPN: ours as `rpn weights import` makes them, with the settings' "
    "defaults on the CPU; theirs in Pillow, torchvision's transform, backbone and RPN, eager fp32, a worker for each "
    "core and one thread a call (bench/frameworks, each server as its documentation shows it), and with an allocator "
    "that keeps its memory. Each picture is a form's only file, each answer JSON. In every round each server is "
    f"started, asked and ended, with no other running; {SPREAD}; ratios round by round. Ours finds its network "
    "converted where it was started before. Memory is the most that each process of a server has held, added up; "
    "pages that they share count once for each."
)


@dataclass(frozen=True, slots=True)
class Effort:
    """So many rounds, in each so many seconds of every load: a set of pictures, and how many clients send it."""

    rounds: int = 3
    seconds: float = 4.0
    sets: Mapping[str, Sizes] = field(default_factory=lambda: SETS)
    loads: Sequence[tuple[str, int]] = (("640x480", 1), ("640x480", 8), ("640x480", 32), ("mixed", 8))


_QUICK = Effort(1, 0.3, {"640x480": VGA[:2]}, (("640x480", 1), ("640x480", 2)))


@dataclass(frozen=True, slots=True)
class Visit:
    """One server's turn in a round: seconds until it answered, MiB, and each load."""

    ready_s: float
    peak_mib: float
    loads: Sequence[Load]


def run(*, quick: bool = False) -> Page:
    """Every framework that is installed."""
    effort = _QUICK if quick else Effort()
    theirs, ours = write_weights(_NETWORK)
    with tempfile.TemporaryDirectory() as folder:
        sent = {
            name: [str(path) for path in write_pictures(sizes, Path(folder) / name)]
            for name, sizes in effort.sets.items()
        }
        first = next(iter(sent.values()))[0]
        servers: dict[str, Callable[[], ServerProcess]] = {
            OURS: lambda: ServiceProcess(RPN_MODELS=f"peer={ours}", RPN_DEVICE="cpu")
        }
        for name in installed():
            servers[name] = lambda name=name: FrameworkProcess(name, _NETWORK, theirs, first)  # type: ignore[misc]
        visits: dict[str, list[Visit]] = {name: [] for name in servers}
        for _ in range(effort.rounds):
            for name, start in servers.items():
                visits[name].append(visit(start, sent, effort))
    return page(visits, effort.loads)


def visit(start: Callable[[], ServerProcess], sent: Mapping[str, Sequence[str]], effort: Effort) -> Visit:
    """Start a server, ask it, and end it."""
    with start() as server:
        loads = [
            run_load(Plan([server.address], sent[name], clients, seconds=effort.seconds, multipart=True))
            for name, clients in effort.loads
        ]
        return Visit(server.ready_s, server.peak_bytes() / _MIB, loads)


def page(visits: Mapping[str, Sequence[Visit]], loads: Sequence[tuple[str, int]]) -> Page:
    """Every load's rates and latencies, and what a start and the memory cost."""
    tables = [table(visits, number, *load) for number, load in enumerate(loads)]
    absent = [name for name in FRAMEWORKS if name not in visits]
    method = f"{_METHOD} Not installed here: {', '.join(absent)}." if absent else _METHOD
    plots = {
        "requests a second": bars(
            "requests a second",
            {
                f"{name}, {pictures}, {_clients(clients)}": rates(taken, number).median
                for number, (pictures, clients) in enumerate(loads)
                for name, taken in visits.items()
            },
            unit="",
        )
    }
    return Page("compare", "Beside other frameworks", method, (costs(visits), *tables), plots)


def table(visits: Mapping[str, Sequence[Visit]], number: int, pictures: str, clients: int) -> Table:
    """One load of every server."""
    rows = []
    for name, taken in visits.items():
        p50, p99 = (Samples(tuple(getattr(one.loads[number], p) for one in taken)) for p in ("p50_ms", "p99_ms"))
        over = ratios(rates(visits[OURS], number), rates(taken, number))
        rows.append(
            (
                name,
                spread_of(rates(taken, number), 1),
                spread_of(p50, 1),
                spread_of(p99, 1),
                "" if name == OURS else spread_of(over, 2),
            )
        )
    header = (f"{pictures}, {_clients(clients)}", "requests a second", "p50, ms", "p99", "ours over it")
    return Table(header, tuple(rows))


def costs(visits: Mapping[str, Sequence[Visit]]) -> Table:
    """A start, and the memory."""
    rows = [
        (
            name,
            spread_of(Samples(tuple(one.ready_s for one in taken)), 1),
            spread_of(Samples(tuple(one.peak_mib for one in taken)), 0),
        )
        for name, taken in visits.items()
    ]
    return Table(("", "start to ready, s", "resident at most, MiB"), tuple(rows))


def rates(taken: Sequence[Visit], number: int) -> Samples:
    """Requests a second of one load, round by round."""
    return Samples(tuple(one.loads[number].rate for one in taken))


def _clients(count: int) -> str:
    return f"{count} client" if count == 1 else f"{count} clients"
