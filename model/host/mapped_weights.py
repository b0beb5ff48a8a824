"""The weights of a graph that lie in a mapped file: read once for each layout of them, and resident ever after.

OpenVINO keeps them mapped beside the copies that it computes with, since a new canvas may want another layout.
"""

import ctypes
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MAPS = Path("/proc/self/maps")
_MADV_DONTNEED = 4  # Linux, <sys/mman.h>
# What is smaller is not worth a call.
_LEAST_BYTES = 64 * 1024


class MappedWeights:
    """``graph``: an ``openvino.Model``, kept here since its constants keep the file mapped."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        mapped = list(_shared_mappings()) if sys.platform == "linux" else []
        self._ranges = [
            (start, end)
            for start, end in map(_whole_pages, _constants(graph))
            if any(first <= start and end <= last for first, last in mapped)
        ]

    @property
    def bytes(self) -> int:
        """How much of them can be let go of; 0 where they were not read from a file."""
        return sum(end - start for start, end in self._ranges)

    def let_go(self) -> None:
        """Have them resident no longer; whoever reads them again gets them from the system's cache of the file."""
        for start, end in self._ranges:
            # A hint: where it is refused, nothing has changed.
            ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def _constants(graph: Any) -> Iterator[tuple[int, int]]:
    for operation in graph.get_ops():
        if operation.get_type_name() == "Constant" and operation.get_byte_size() >= _LEAST_BYTES:
            address = operation.data.ctypes.data
            yield address, address + operation.get_byte_size()


def _whole_pages(span: tuple[int, int]) -> tuple[int, int]:
    start, end = span
    return -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, end // mmap.PAGESIZE * mmap.PAGESIZE


def _shared_mappings() -> Iterator[tuple[int, int]]:
    """Files mapped to be read alone, and shared: nothing that this process wrote can be lost with their pages."""
    try:
        lines = _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # a sandbox without /proc
        return
    for line in lines:
        span, permissions, *_ = line.split(maxsplit=2)
        if permissions == "r--s":
            start, end = span.split("-")
            yield int(start, 16), int(end, 16)
