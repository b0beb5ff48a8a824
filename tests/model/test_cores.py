import os
import subprocess
import sys
from pathlib import Path

import pytest

from model import cores
from model.cores import default_threads, physical_cores, usable_cores


@pytest.mark.parametrize(("text", "granted"), [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1)])
def test_a_containers_share_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, granted: int):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    quota = tmp_path / "cpu.max"
    quota.write_text(text + "\n")
    assert usable_cores(quota) == granted


@pytest.mark.parametrize("text", ["max 100000\n", "", "nonsense"])
def test_without_one_every_core_that_this_process_may_use_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 5}, raising=False)
    quota = tmp_path / "cpu.max"
    assert usable_cores(quota) == 3
    quota.write_text(text)
    assert usable_cores(quota) == 3


@pytest.mark.parametrize(("siblings", "count"), [(["0", "1"], 2), (["0,1", "0,1"], 1), ([], 2)])
def test_two_threads_of_one_core_are_one_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, siblings: list[str], count: int
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    for number, text in enumerate(siblings):
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(text + "\n")
    assert physical_cores(tmp_path) == count


@pytest.mark.parametrize(("told", "threads"), [("1", 1), ("1,4", 1), ("99", 3), ("", 3), ("many", 3), ("0", 3)])
def test_threads_are_as_many_as_were_told_and_no_more_than_cores(
    monkeypatch: pytest.MonkeyPatch, told: str, threads: int
):
    monkeypatch.setattr(cores, "physical_cores", lambda: 3)
    monkeypatch.setattr(cores, "usable_cores", lambda: 3)
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert default_threads() == threads


def test_torch_takes_as_many_of_itself():
    own = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    asked = "import torch; from model.cores import default_threads; print(torch.get_num_threads(), default_threads())"
    said = subprocess.run([sys.executable, "-c", asked], env=own, capture_output=True, text=True, check=True)
    theirs, ours = map(int, said.stdout.split())
    assert ours == min(theirs, usable_cores())
