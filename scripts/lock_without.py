"""Print a hash-locked requirements file without the packages whose names match the given patterns.

    python scripts/lock_without.py requirements.txt torch torchvision 'nvidia-*' > lock-cpu.txt

A requirement is dropped whole: its version, its hashes on continuation lines, the comments indented under it.
Names and patterns (as in `fnmatch`) are compared as pip compares names: case, `_` and `.` make no difference.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def lines_without(lines: Iterable[str], patterns: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a requirements file that belong to no requirement matching one of `patterns`."""
    normalized = [_normalize(pattern) for pattern in patterns]
    dropping = continued = False
    for line in lines:
        if not continued and not line[:1].isspace():  # neither of these starts anything new
            name = _NAME.match(line)
            dropping = name is not None and _matches(name.group(), normalized)
        continued = line.rstrip("\r\n").endswith("\\")
        if not dropping:
            yield line


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, print what is left of the lock."""
    parser = argparse.ArgumentParser(description="Print a requirements file without the matching packages.")
    parser.add_argument("lock", type=Path, help="the requirements file")
    parser.add_argument("patterns", nargs="+", metavar="PATTERN", help="a name, or a pattern such as 'nvidia-*'")
    options = parser.parse_args(arguments)
    with options.lock.open(encoding="utf-8") as lock:
        sys.stdout.writelines(lines_without(lock, options.patterns))


def _matches(name: str, normalized_patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(_normalize(name), pattern) for pattern in normalized_patterns)


def _normalize(name: str) -> str:
    return re.sub(r"[_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
