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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's settings")
def test_freed_memory_is_kept_until_it_is_given_back():
    found = subprocess.run([sys.executable, "-c", MEASURE], check=True, capture_output=True, text=True).stdout
    used, kept, left = map(int, found.split())
    assert used > 250e6
    assert kept > 0.9 * used
    assert left < 0.1 * used
