from pathlib import Path

import pytest
import torch

from model.errors import DataError
from model.training import run_state
from model.training.run_state import load_state, save_state


def test_what_was_saved_is_read_back(tmp_path: Path):
    save_state(tmp_path / "state.pt", {"epochs": 2}, {"network": {"weight": torch.arange(3.0)}})
    state = load_state(tmp_path / "state.pt", {"epochs": 2})
    assert torch.equal(state["network"]["weight"], torch.arange(3.0))


def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "state.pt"
    save_state(path, {}, {"network": {}})
    before = path.read_bytes()
    monkeypatch.setattr(run_state, "partial", lambda _: Path("/dev/full"))  # a device that has never any room
    with pytest.raises(DataError, match=r"state\.pt: No space left on device"):
        save_state(path, {}, {"network": {"weight": torch.zeros(100_000)}})
    assert path.read_bytes() == before
