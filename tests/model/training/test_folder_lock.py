import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import DataError
from model.training.folder_lock import locked

# Holds the folder, says its process number, and forks a child as a DataLoader does, which says its own once at work.
HOLDER = """
import os, sys, time
from pathlib import Path
from model.training.folder_lock import locked
with locked(Path(sys.argv[1])):
    print(os.getpid(), flush=True)
    if os.fork() == 0:
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


def test_a_second_training_is_told_which_folder_and_who(tmp_path: Path):
    with locked(tmp_path / "run"), pytest.raises(DataError) as caught, locked(tmp_path / "run"):
        pass
    assert str(caught.value) == (
        f"{tmp_path / 'run'}: another training (process {os.getpid()}) writes there; wait for it or stop it"
    )


def test_it_is_let_go_at_the_end_and_after_an_error(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path), locked(tmp_path / "another"):
        pass
    with locked(tmp_path):
        pass


def test_a_killed_training_leaves_no_lock_though_its_workers_live(tmp_path: Path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        own, child = (int(holder.stdout.readline()) for _ in range(2))
        try:
            with pytest.raises(DataError, match=f"process {own}"), locked(tmp_path):
                pass
            holder.kill()
            holder.wait()
            with locked(tmp_path):
                os.kill(child, 0)  # raises if the child has ended
        finally:
            os.kill(child, signal.SIGKILL)
