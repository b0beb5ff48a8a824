import os
import subprocess
import sys

from bench.memory import peak_bytes, process_tree, resident_bytes

HOLDS = 64 * 2**20
CHILD = f"import sys; held = bytes({HOLDS}); held = bytearray(held); print('held', flush=True); sys.stdin.read()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_a_process_and_its_children_are_counted():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        members = process_tree(process.pid)
        assert members[0] == process.pid
        assert len(members) == 2
        assert set(members) <= set(process_tree(os.getpid()))
        assert HOLDS < resident_bytes(process.pid) <= peak_bytes(process.pid) < 4 * HOLDS
        process.stdin.close()
    assert resident_bytes(process.pid) == 0, "it has ended"
