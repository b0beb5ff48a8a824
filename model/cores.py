"""How many processor cores this process may keep busy, and what they are."""

import math
import os
import platform
import re
from pathlib import Path

# Where users tell torch, and us, how many threads to take.
_TOLD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# Where Linux tells which logical cores are one physical core.
_TOPOLOGY = Path("/sys/devices/system/cpu")

# Where a container of control groups, version 2, tells its share: "200000 100000" is two cores' time, "max 100000" all.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")

CPUINFO = Path("/proc/cpuinfo")


def processor_name() -> str:
    """The processor's name, as its maker has it; its architecture where the system does not say."""
    return processor_fact("model name") or platform.processor() or platform.machine()


def processor_fact(name: str, cpuinfo: Path = CPUINFO) -> str:
    """What Linux says of the first core under this name, such as ``vendor_id``; nothing where it says nothing."""
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    found = re.search(rf"^{re.escape(name)}\s*: (.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def usable_cores(quota: Path = _QUOTA) -> int:
    """The cores that this process may run on, or fewer where its container is granted less of their time.

    Threads beyond that share only get in each other's way.
    """
    return max(1, min(_allowed(), _granted(quota)))


def default_threads() -> int:
    """The threads that a network takes: what OMP_NUM_THREADS or MKL_NUM_THREADS says, else one for each physical core.

    As torch has it on Linux. Two threads on one core would wait for the same multipliers. At most `usable_cores`.
    """
    told = [os.environ.get(name, "").partition(",")[0].strip() for name in _TOLD]
    wanted = next((int(text) for text in told if text.isdecimal() and int(text) > 0), physical_cores())
    return min(wanted, usable_cores())


def physical_cores(topology: Path = _TOPOLOGY) -> int:
    """The physical cores that this process may run on; where nothing tells, as many as there are logical ones."""
    if not hasattr(os, "sched_getaffinity"):
        return _allowed()
    siblings = (topology / f"cpu{core}" / "topology" / "thread_siblings_list" for core in os.sched_getaffinity(0))
    try:
        return len({path.read_text() for path in siblings})
    except OSError:
        return _allowed()


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
