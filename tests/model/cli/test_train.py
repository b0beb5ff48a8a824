"""`rpn train` twice on one folder: what is gone on with, what is refused, and what is said."""

import csv
import importlib.util
from pathlib import Path

import pytest

from model.training.folder_lock import LOCK_FILE, locked
from model.training.run_folder import LAST_FILE, LOG_FILE
from service import cli
from tests.scenes import write_coco


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_coco(folder, "train", range(4))
    write_coco(folder, "val", range(20, 22))
    return folder


@pytest.fixture(scope="module")
def command(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A run's command, which has been run to its end."""
    out = tmp_path_factory.mktemp("runs") / "scenes"
    options = ["--input-size", "64", "--device", "cpu", "--workers", "0", "--epochs", "1", "--batch-size", "2"]
    command = ["train", "--data", str(data), "--out", str(out), *options]
    assert cli.main(command) == 0
    return command


def folder(command: list[str]) -> Path:
    return Path(command[command.index("--out") + 1])


def fault(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    capsys.readouterr()
    assert cli.main(command) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    return printed


def test_the_log_says_how_fast(command: list[str]):
    (row,) = csv.DictReader((folder(command) / LOG_FILE).read_text().splitlines())
    assert list(row)[:5] == ["epoch", "steps", "learning_rate", "seconds", "pictures_per_second"]
    assert float(row["pictures_per_second"]) == pytest.approx(4 / float(row["seconds"]), rel=1e-3)
    assert float(row["learning_rate"]) > 0


def test_a_finished_run_is_left_as_it_is(command: list[str], capsys: pytest.CaptureFixture[str]):
    before = (folder(command) / LAST_FILE).read_bytes()
    assert cli.main(command) == 0
    assert capsys.readouterr().out == f"checkpoints are in {folder(command)}\n"
    assert (folder(command) / LAST_FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--learning-rate", "0.01"], "recipe.learning_rate is 0.001 there and 0.01 here"),
        (["--accumulate", "2"], "recipe.accumulate is 1 there and 2 here"),
        (["--input-size", "96"], "config.input.size is 64 there and 96 here"),
        (["--limit", "3"], "data.train is 4 pictures with "),
    ],
)
def test_a_run_is_not_gone_on_with_as_another(
    command: list[str], options: list[str], named: str, capsys: pytest.CaptureFixture[str]
):
    assert f"{folder(command)} holds another run: {named}" in fault(capsys, *command, *options)


def test_a_run_from_other_weights_is_another(command: list[str], capsys: pytest.CaptureFixture[str]):
    start = str(folder(command) / LAST_FILE)
    assert "start is nothing there and sha256:" in fault(capsys, *command, "--from", start)


def test_two_trainings_do_not_write_to_one_folder(command: list[str], capsys: pytest.CaptureFixture[str]):
    with locked(folder(command)):
        assert f"{folder(command)}: another training (process " in fault(capsys, *command)
    assert (folder(command) / LOCK_FILE).exists(), "the file stays, and means nothing by being there"
    assert cli.main(command) == 0


def test_what_tensorboard_needs_is_said_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    command = ["train", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out"), "--tensorboard"]
    assert fault(capsys, *command) == (
        "rpn: --tensorboard needs a package: pip install 'region-proposal-service[tensorboard]'\n"
    )


def test_accumulating_nothing_is_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = ["train", "--data", str(data), "--out", str(tmp_path / "out"), "--accumulate", "0"]
    assert "accumulate must be at least 1, not 0" in fault(capsys, *command)


def test_help_says_how_several_gpus_are_used(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    assert "\n  torchrun --standalone --nproc-per-node 2 --no-python rpn train ...\n" in capsys.readouterr().out
