"""In a process of its own: an allocator's settings hold for a whole process."""

import subprocess
import sys

import pytest

MEASURE = """
import numpy as np
from model.allocator import give_back_freed_memory, keep_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

assert keep_freed_memory()
before = resident()
held = [np.ones(2**20) for _ in range(32)]  # 256 MiB
used = resident() - before
del held
kept = resident() - before
give_back_freed_memory()
print(used, kept, resident() - before)
"""


SHARE = """
import sys
import threading
from model.allocator import keep_freed_memory, share_arenas

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

keep_freed_memory()
assert share_arenas(int(sys.argv[1]))
used, done, end = threading.Semaphore(0), [], threading.Event()

def use():
    done.append(len([bytearray(2**16) for _ in range(512)]))  # 32 MiB in blocks that an arena has room for
    used.release()
    end.wait()  # a thread that has ended leaves its arena to the next

before = resident()
for _ in range(6):
    threading.Thread(target=use, daemon=True).start()
    used.acquire()
print(resident() - before)
end.set()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's settings")
def test_threads_that_share_arenas_keep_less():
    for arenas, fewest, most in (("2", 30e6, 110e6), ("16", 160e6, 300e6)):
        command = [sys.executable, "-c", SHARE, arenas]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert fewest < int(found) < most


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's settings")
def test_freed_memory_is_kept_until_it_is_given_back():
    found = subprocess.run([sys.executable, "-c", MEASURE], check=True, capture_output=True, text=True).stdout
    used, kept, left = map(int, found.split())
    assert used > 250e6
    assert kept > 0.9 * used
    assert left < 0.1 * used
