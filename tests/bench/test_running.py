import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WAITING = """
import contextlib, pathlib, signal, sys, time
ending = signal.Signals(int(sys.argv[1]))
signal.signal(ending, signal.SIG_DFL)  # whatever these tests were started with
from bench.running import run_parts
def part():
    with contextlib.ExitStack() as started:
        started.callback(print, "ended", flush=True)
        print("begun", flush=True)
        time.sleep(60)
run_parts([part], pathlib.Path("nowhere"), {}, "x")
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_what_a_part_has_started_is_ended_however_it_is_told_to(ending: signal.Signals):
    """A lost connection sends SIGHUP; servers that went on would take from whatever is measured next."""
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, str(int(ending))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "begun\n"
        running.send_signal(ending)
        said, _ = running.communicate(timeout=20)
    assert said == "ended\n"
    assert running.returncode != 0
