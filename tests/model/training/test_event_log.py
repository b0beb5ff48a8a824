import importlib.util
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from model.errors import ConfigError
from model.training.event_log import EventLog
from model.training.progress import Progress, Tally
from model.training.run_folder import EVENTS_FOLDER


def points(folder: Path, tag: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder / EVENTS_FOLDER))
    events.Reload()
    return [(event.step, pytest.approx(event.value)) for event in events.Scalars(tag)]


def write(folder: Path, begin: int, end: int, recall: float) -> None:
    progress = Progress(epoch=1, total=begin)
    with EventLog(folder, progress) as events:
        for total in range(begin + 1, end + 1):
            events.step(total, Tally(2, 8, 0.5, {"box": 2.0 * total}), 1e-3)
        progress.total = end
        events.epoch(progress, 1e-3, {"AR@100": recall})


def test_points_are_means_of_ten_steps_and_of_what_is_left_of_an_epoch(tmp_path: Path):
    write(tmp_path, 0, 14, recall=0.25)
    assert points(tmp_path, "loss/box") == [(10, 5.5), (14, 12.5)]
    assert points(tmp_path, "learning_rate") == [(10, 1e-3), (14, 1e-3)]
    assert points(tmp_path, "pictures_per_second") == [(10, 16.0), (14, 16.0)]
    assert points(tmp_path, "recall/AR@100") == [(1, 0.25)]


def test_steps_that_are_done_again_are_taken_back(tmp_path: Path):
    write(tmp_path, 0, 30, recall=0.25)
    write(tmp_path, 20, 30, recall=0.5)  # its last saved state was of step 20
    assert [step for step, _ in points(tmp_path, "loss/box")] == [10, 20, 30]


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with EventLog(None, Progress()) as events:
        events.step(1, Tally(1, 4, 1.0, {"box": 1.0}), 1e-3)
        events.epoch(Progress(epoch=1), 1e-3, {})
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_said_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"--tensorboard needs .* '\.\[tensorboard\]'"):
        EventLog(tmp_path, Progress())
