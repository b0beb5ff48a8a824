"""``python -m bench serve``: requests a second and latencies, beside the ceiling and plain torchvision in process."""

import tempfile
from pathlib import Path

from bench.answers import TOLERANCE_PX, TOP
from bench.networks import in_int8, write_integers, write_weights
from bench.pages import Page
from bench.picture_sets import SETS, Sizes, write_pictures
from bench.plots import bars, lines
from bench.rounds import Samples, ratios
from bench.serving import NETWORK, PEER, Effort, Serving, measure
from bench.table import SPREAD, Table, spread_of

_METHOD = (
    "Real JPEGs over HTTP, answers as JSON, each client asking again as soon as it is answered, from a process of its "
    "own; beside the same pictures decoded and predicted in a plain loop in process (the ceiling: the better of one "
    "at a time and batches of up to 8 of one canvas), and beside plain torchvision in process (Pillow, then transform, "
    "backbone and RPN, eager fp32, one at a time, with an allocator that keeps its memory). The same weights "
    f"everywhere. In every round each of them has its turn; {SPREAD}; ratios round by round. What a lone client waits "
    "beyond decode + predict is told picture by picture, and the median of these. Every answer was 200, or "
    "429 where that is said; with anything else there would be no result. In int8 the convolutions of ours are "
    "computed in 8-bit integers, in the ceiling too; what recall that costs cannot be told of random weights."
)
# What the project has set itself, by device: on a small processor, and on a GPU with as many processes as it takes.
_ADDED_MS = {"cpu": "<= 3", "cuda": "<= 2"}
_OVER_PEER = {("cpu", "640x480"): ">= 2.4", ("cpu", "640x480, int8"): ">= 2.4"}
# The first set once more, from weights with ranges: as a service on a processor takes them that has the instructions.
_INT8 = ", int8"
# To see that it runs.
_SMALL: Sizes = ((640, 480), (480, 640), (800, 600))


def run(
    *, device: str = "cpu", replicas: int = 1, quick: bool = False, name: str = "serve", effort: Effort | None = None
) -> Page:
    """Measure every set of pictures, with so many HTTP processes."""
    effort = Effort(rounds=1, seconds=0.3, clients=(1, 8)) if quick else effort or Effort()
    theirs, ours = write_weights(NETWORK)
    with tempfile.TemporaryDirectory() as folder:
        sets = {
            title: write_pictures(sizes, Path(folder) / title)
            for title, sizes in ({"small": _SMALL} if quick else SETS).items()
        }
        cases = {title: (ours, pictures) for title, pictures in sets.items()}
        if in_int8(device) and not quick:  # which starts four more processes, and shows nothing else
            first = next(iter(sets))
            cases[f"{first}{_INT8}"] = (write_integers(ours), sets[first])
        found = [
            measure(title, (theirs, weights), pictures, effort=effort, device=device, replicas=replicas)
            for title, (weights, pictures) in cases.items()
        ]
    return page(found, name=name, replicas=replicas, device=device)


def page(found: list[Serving], *, name: str = "serve", replicas: int = 1, device: str = "cpu") -> Page:
    """What was found, as tables and plots."""
    plots = {
        "requests a second": lines(
            "requests a second against clients",
            "clients",
            "requests a second",
            {one.pictures: [(c, one.served(c).median) for c in one.loads] for one in found},
            log_x=True,
        ),
        "p99": lines(
            "p99 against clients",
            "clients",
            "p99, ms",
            {one.pictures: [(c, one.latency(c, "p99_ms").median) for c in one.loads] for one in found},
            log_x=True,
        ),
        "times as fast": bars(
            "requests a second over plain torchvision's pictures a second",
            {f"{one.pictures}, {_clients(c)}": _over_peer(one, c).median for one in found for c in one.loads},
            unit=" x",
        ),
    }
    method = f"{_METHOD} HTTP processes: {replicas}."
    # In bf16, which a GPU computes in, a batch is rounded otherwise than a picture alone.
    other = [one.pictures for one in found if one.agreement.same < 1] if device == "cpu" else []
    fault = f"boxes under load are not those alone: {', '.join(other)}" if other else None
    return Page(name, "The service over HTTP", method, (rates(found), comparison(found, device)), plots, fault)


def rates(found: list[Serving]) -> Table:
    """Every side in process, and the service at every number of clients."""
    rows: list[tuple[str, ...]] = []
    for one in found:
        for side, bursts in one.in_process.items():
            go = spread_of(Samples(tuple(burst.p50_ms for burst in bursts)), 1)
            rows.append((one.pictures, side, spread_of(one.rates(side), 1), go, "", "", ""))
        for clients, loads in one.loads.items():
            latencies = [spread_of(one.latency(clients, name), 1) for name in ("p50_ms", "p90_ms", "p99_ms")]
            refused = str(sum(load.refused for load in loads))
            rows.append((one.pictures, _clients(clients), spread_of(one.served(clients), 1), *latencies, refused))
    return Table(
        ("pictures", "", "pictures a second", "p50, ms (in process: of a go)", "p90", "p99", "429"), tuple(rows)
    )


def comparison(found: list[Serving], device: str) -> Table:
    """The ratios, beside what they are meant to be."""
    rows = []
    for one in found:
        for what, samples, wanted in _ratios(one, device):
            rows.append((one.pictures, what, spread_of(samples, 2), wanted))
        share = f"{one.agreement.same:.2f} of {one.compared} (furthest {one.agreement.furthest_px:.3f} px)"
        wanted = "1" if device == "cpu" else ""  # see `page`
        rows.append(
            (one.pictures, f"top {TOP} boxes under load within {TOLERANCE_PX} px of those alone", share, wanted)
        )
        rows.append((one.pictures, "processor time of the load, of one core", spread_of(_load_share(one), 2), ""))
    return Table(("pictures", "", "measured", "wanted"), tuple(rows))


def _ratios(one: Serving, device: str) -> list[tuple[str, Samples, str]]:
    """What, its samples, and what is wanted of it."""
    rows = [
        (f"serving efficiency, {clients} clients", ratios(one.served(clients), one.ceiling), ">= 0.90")
        for clients in one.loads
        if clients > 1
    ]
    if 1 in one.loads:
        rows.append(("added p50 at 1 client, ms", one.added, _ADDED_MS[device]))
    if {32, 128} <= set(one.loads):
        rows.append(("128 clients over 32 clients", ratios(one.served(128), one.served(32)), ">= 0.95"))
    for clients in sorted({128, 160} & set(one.loads)):
        seconds = Samples(tuple(ms / 1000 for ms in one.latency(clients, "p99_ms").values))
        rows.append((f"p99 at {clients} clients, s", seconds, f"<= {_deadline_s():g}, RPN_DEADLINE_S"))
    if 8 in one.loads:
        rows.append(
            ("8 clients over plain torchvision", _over_peer(one, 8), _OVER_PEER.get((device, one.pictures), ""))
        )
    return rows


def _deadline_s() -> float:
    """The default one: what is measured runs by the defaults, whatever the environment of this process says."""
    from service.settings import Settings  # not above: `bench.gpu` imports this where no service can run, too

    deadline_s: float = Settings.model_fields["deadline_s"].default
    return deadline_s


def _over_peer(one: Serving, clients: int) -> Samples:
    return ratios(one.served(clients), one.rates(PEER))


def _load_share(one: Serving) -> Samples:
    loads = [load for taken in one.loads.values() for load in taken]
    return Samples(tuple(load.cpu_s / load.wall_s for load in loads))


def _clients(count: int) -> str:
    return f"{count} client" if count == 1 else f"{count} clients"
