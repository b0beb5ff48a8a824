"""glibc's allocator, set for a process that allocates the same large activations over and over.

By default glibc returns large blocks to the system and faults every page in again. Keeping them made a training step of
the default network 1.2 times as fast on a CPU, with half the page faults (docs/architecture.md; one run each).
"""

import contextlib
import ctypes
import sys

from model.cores import usable_cores

# Parameter numbers from <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8

_FEWEST_ARENAS = 2  # one for the event loop, one for those who work
_KEEP = 2**31 - 1  # the largest int: never give the heap's top back
_TOP_PAD = 64 * 2**20  # grow by 64 MiB at a time: few system calls, little slack


def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed for the next allocation; False where the C library is another."""
    return _set((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _KEEP), (_M_TOP_PAD, _TOP_PAD))


def share_arenas(count: int | None = None) -> bool:
    """Let all threads from now on share so many heaps, by default one for each core; False where libc is another.

    By default each of a service's threads gets one of its own, which keeps what the largest picture has needed. With
    32 clients of mixed pictures to the three models that ship, two heaps in the place of sixteen took 1,336 MiB in the
    place of 1,430, at the same rate (docs/performance.md).
    """
    return _set((_M_ARENA_MAX, max(_FEWEST_ARENAS, usable_cores()) if count is None else count))


def _set(*settings: tuple[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl has no such function
        return False
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)


def give_back_freed_memory() -> None:
    """Return what is free now to the system, once: after loading, which took more than any call will."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(AttributeError):  # musl has no such function
            ctypes.CDLL(None).malloc_trim(0)
