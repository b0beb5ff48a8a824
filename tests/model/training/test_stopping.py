import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from model.training.stopping import StopRequest

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_and_the_next_insists(number: signal.Signals):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.made
        os.kill(os.getpid(), number)
        assert stop.made
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_torchruns_echo_is_no_second_request():
    with StopRequest(insistent=False) as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.made


def test_what_may_be_broken_off_is_broken_off_at_once():
    with StopRequest(insistent=False) as stop:
        with pytest.raises(KeyboardInterrupt), stop.at_once():
            os.kill(os.getpid(), signal.SIGTERM)
        reached = False
        with pytest.raises(KeyboardInterrupt), stop.at_once():  # asked for before: not even begun
            reached = True
        assert not reached


def test_outside_the_main_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def train() -> None:
        with StopRequest():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert seen == [before]


STUCK = """
import signal, time
import torch
from torch.utils.data import DataLoader
from model.training.stopping import leave_signals

class Pictures(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        if index:
            time.sleep(1000)  # a read that does not come back; signals do not end it
        return index

batches = iter(DataLoader(Pictures(), num_workers=1, worker_init_fn=leave_signals))
next(batches)
print("stopping")
"""


def test_a_worker_that_is_stuck_does_not_keep_the_training_from_ending():
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=60, cwd=REPOSITORY)
    assert (done.returncode, done.stdout) == (0, "stopping\n"), done.stderr
