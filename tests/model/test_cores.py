import os
from pathlib import Path

import pytest

from model.cores import usable_cores


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
