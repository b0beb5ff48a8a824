"""A framework's server in a process of its own."""

import asyncio
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.clients import generate
from bench.frameworks.torchvision_proposals import NETWORK, WEIGHTS, WORKERS
from bench.load import OK, Plan
from bench.server_process import ServerProcess
from model.cores import usable_cores

# Each framework by its name: its module here, and what it is imported as.
FRAMEWORKS: Mapping[str, tuple[str, str]] = {
    "FastAPI": ("with_fastapi", "fastapi"),
    "LitServe": ("with_litserve", "litserve"),
    "BentoML": ("with_bentoml", "bentoml"),
    "Ray Serve": ("with_ray_serve", "ray"),
}

# Frameworks that report their use are told not to. One thread a call: with a worker for each core more pictures are
# answered than with one worker on all of them. glibc keeps what is freed, as preloading tcmalloc would.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}


def installed() -> list[str]:
    """The frameworks that can be started here."""
    return [name for name, (_, package) in FRAMEWORKS.items() if importlib.util.find_spec(package)]


class FrameworkProcess(ServerProcess):
    """A framework that serves a network's state dict; ready when it has answered ``picture``."""

    def __init__(self, name: str, network: str, weights: Path, picture: str) -> None:
        self._module = FRAMEWORKS[name][0]
        self._picture = picture
        workers = {NETWORK: network, WEIGHTS: str(weights), WORKERS: str(usable_cores())}
        super().__init__({**_ENVIRONMENT, **workers})

    def command(self, port: int) -> Sequence[str]:
        """The framework's own way to start it."""
        return (sys.executable, "-m", f"bench.frameworks.{self._module}", str(port))

    def is_ready(self) -> bool:
        """Whether it answers the picture."""
        plan = Plan([self.address], [self._picture], clients=1, requests=1, warm_up=0, multipart=True)
        return asyncio.run(generate(plan)).statuses == {OK: 1}

    def check_end(self, status: int, log: str) -> None:
        """With what status it ends is its own affair."""
