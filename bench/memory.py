"""Resident memory of a process and all that it has started, from Linux's ``/proc``."""

import re
from pathlib import Path

_PROC = Path("/proc")
_KIB = 1024


def process_tree(pid: int) -> list[int]:
    """The process, its children and theirs, those that are still there."""
    children: dict[int, list[int]] = {}
    for stat in _PROC.glob("[0-9]*/stat"):
        if (text := _read(stat)) is not None:
            parent = int(text.rpartition(")")[2].split()[1])  # the name before it may hold spaces and brackets
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for known in found:  # grows while it is gone through
        found += children.get(known, [])
    return found


def resident_bytes(pid: int) -> int:
    """What the tree holds now, in bytes; pages that processes share count once for each."""
    return sum(_field(member, "VmRSS") for member in process_tree(pid))


def peak_bytes(pid: int) -> int:
    """The most that each process of the tree has held, added up, in bytes."""
    return sum(_field(member, "VmHWM") for member in process_tree(pid))


def _field(pid: int, name: str) -> int:
    text = _read(_PROC / str(pid) / "status") or ""
    found = re.search(rf"^{name}:\s*(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * _KIB if found else 0


def _read(path: Path) -> str | None:
    """None for a process that has ended meanwhile."""
    try:
        return path.read_text()
    except OSError:
        return None
