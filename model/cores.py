"""How many processor cores this process may keep busy."""

import math
import os
from pathlib import Path

# Where a container of control groups, version 2, tells its share: "200000 100000" is two cores' time, "max 100000" all.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota: Path = _QUOTA) -> int:
    """The cores that this process may run on, or fewer where its container is granted less of their time.

    Threads beyond that share only get in each other's way.
    """
    return max(1, min(_allowed(), _granted(quota)))


def _allowed() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux: what this process may use, not what the machine has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _granted(quota: Path) -> int:
    try:
        share, period = quota.read_text().split()
        return math.ceil(int(share) / int(period))
    except (OSError, ValueError):  # no such file, or "max": nothing is held back
        return 2**31
