"""`rpn train` twice on one folder: what is gone on with, what is refused, and what is said."""

import csv
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from model.cli import train
from model.training import arithmetic
from model.training.folder_lock import LOCK_FILE, locked
from model.training.run_folder import LAST_FILE, LOG_FILE, STATE_FILE
from service import cli
from tests.scenes import write_coco

REPOSITORY = Path(__file__).parents[3]
PATIENCE_S = 90
# `rpn train` that saves its state after every step, and not once in two minutes.
SAVING = """
import sys
from model.training import loop
from service import cli
loop._SAVE_AFTER_S = 0.0
sys.exit(cli.main(sys.argv[1:]))
"""


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


def test_the_schedule_that_was_asked_for_is_kept_to(command: list[str], tmp_path: Path):
    other = [str(tmp_path / "out") if argument == str(folder(command)) else argument for argument in command]
    assert cli.main([*other, "--schedule", "constant"]) == 0
    (constant,) = csv.DictReader((tmp_path / "out" / LOG_FILE).read_text().splitlines())
    (cosine,) = csv.DictReader((folder(command) / LOG_FILE).read_text().splitlines())
    assert float(constant["learning_rate"]) == 0.001
    assert float(cosine["learning_rate"]) == pytest.approx(0.0005)  # the second step of two
    assert load_checkpoint(tmp_path / "out" / LAST_FILE).provenance["training"]["recipe"]["schedule"] == "constant"


def test_frozen_norms_keep_the_statistics_that_they_come_with(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    start = folder(command) / LAST_FILE
    other = [str(tmp_path / "out") if argument == str(folder(command)) else argument for argument in command]
    assert "freeze_norms keeps statistics, and no checkpoint gives backbone." in fault(capsys, *other, "--freeze-norms")
    assert cli.main([*other, "--freeze-norms", "--from", str(start)]) == 0
    before, after = load_checkpoint(start), load_checkpoint(tmp_path / "out" / LAST_FILE)
    assert list(after.state_dict) == list(before.state_dict)
    moved = {name for name, value in after.state_dict.items() if not value.equal(before.state_dict[name])}
    statistics = {name for name in before.state_dict if name.endswith(("running_mean", "running_var"))}
    assert statistics
    assert not moved & statistics
    assert {name.replace("running_mean", "bias") for name in statistics if name.endswith("mean")} <= moved
    assert after.provenance["training"]["recipe"]["freeze_norms"] is True


def test_a_container_s_share_of_the_cores_is_kept_to_from_the_start(
    command: list[str], monkeypatch: pytest.MonkeyPatch
):
    before = torch.get_num_threads()
    monkeypatch.setattr(arithmetic, "default_threads", lambda: 2)
    torch.set_num_threads(3)
    assert cli.main(command) == 0
    found = torch.get_num_threads()
    torch.set_num_threads(before)
    assert found == 2


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
        (["--schedule", "constant"], "recipe.schedule is cosine there and constant here"),
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
    same_rate = ["--learning-rate", "0.001"]
    assert "start is nothing there and sha256:" in fault(capsys, *command, "--from", start, *same_rate)
    assert "learning_rate is 0.001 there and 0.0003 here" in fault(capsys, *command, "--from", start)


def test_a_fine_tuning_needs_no_more_than_data_and_a_start(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    start, data = folder(command) / LAST_FILE, command[command.index("--data") + 1]
    monkeypatch.chdir(tmp_path)
    quick = ["--epochs", "1", "--limit", "2", "--workers", "0", "--device", "cpu"]
    assert cli.main(["train", "--from", str(start), "--data", data, *quick]) == 0
    training = load_checkpoint(tmp_path / "runs" / Path(data).name / LAST_FILE).provenance["training"]
    assert training["recipe"]["learning_rate"] == 0.0003


def test_a_start_of_the_architecture_that_is_named_brings_its_settings(command: list[str], tmp_path: Path):
    started = load_checkpoint(folder(command) / LAST_FILE)
    config = replace(started.config, selection=replace(started.config.selection, nms_iou=0.35))
    save_checkpoint(replace(started, config=config), tmp_path / "start.safetensors")
    data, out = command[command.index("--data") + 1], tmp_path / "out"
    quick = ["--epochs", "1", "--limit", "2", "--workers", "0", "--device", "cpu", "--data", data, "--out", str(out)]
    named = ["--from", str(tmp_path / "start.safetensors"), "--architecture", config.architecture]
    assert cli.main(["train", *named, *quick]) == 0
    assert load_checkpoint(out / LAST_FILE).config == config


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
        "rpn: --tensorboard needs a package: pip install -e '.[tensorboard]' in the project's folder\n"
    )


def test_as_many_processes_decode_as_suit_the_device_unless_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    taken: list[int] = []
    monkeypatch.setattr(train, "_train", lambda trainer: taken.append(trainer.run.workers))
    monkeypatch.setattr(train, "default_workers", lambda ranks: {"cpu": 7}[ranks.device.type])
    command = ["train", "--data", str(data), "--out", str(tmp_path / "out"), "--input-size", "64", "--device", "cpu"]
    for options in ([], ["--workers", "0"], ["--workers", "3"]):
        assert cli.main([*command, *options]) == 0
    assert taken == [7, 0, 3]


def test_accumulating_nothing_is_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = ["train", "--data", str(data), "--out", str(tmp_path / "out"), "--accumulate", "0"]
    assert "accumulate must be at least 1, not 0" in fault(capsys, *command)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "-1"], "--workers must be at least 0, not -1"),
        (["--limit", "0"], "--limit must be at least 1, not 0"),
        (["--ema-decay", "2"], "ema_decay must be at least 0 and below 1, not 2.0"),
        (["--input-size", "100000"], "--input-size: at most 4096, not 100000"),
        (["--input-size", "32"], "--input-size: at least 64 to train at, not 32"),
        (["--scale-jitter", "1", "2", "--crop", "0"], "--crop does nothing beside --scale-jitter"),
        (["--seed", "-1"], "seed must lie between 0 and 4294967295, not -1"),
        (["--warmup-steps", "-3"], "warmup_steps must be at least 0, not -3"),
        (["--colour", "9"], "colour must be at least 0 and below 1, not 9.0"),
        (["--name", "a/b"], "--name must be a name without slashes, not 'a/b'"),
        (["--straddle", "3"], "--straddle is for --assignment iou, and this is atss"),
        (["--anchors-per-picture", "5"], "--anchors-per-picture is for --objectness bce, and this is quality"),
    ],
)
def test_what_would_do_nothing_or_harm_is_refused(
    data: Path, tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert message in fault(capsys, "train", "--data", str(data), "--out", str(tmp_path / "out"), *options)


def test_a_file_is_no_runs_folder(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "out").write_text("")
    printed = fault(capsys, "train", "--data", str(data), "--out", str(tmp_path / "out"))
    assert printed == f"rpn: {tmp_path / 'out'}: is a file; a run needs a folder of its own\n"


def test_data_without_an_object_are_not_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for split in ("train", "val"):
        write_coco(tmp_path, split, range(2))
    path = tmp_path / "train.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "annotations": [{**box, "iscrowd": 1} for box in content["annotations"]]}))
    printed = fault(capsys, "train", "--data", str(tmp_path), "--out", str(tmp_path / "out"))
    assert printed == f"rpn: {path}: none of its pictures has a box that is an object\n"


def test_a_picture_of_a_name_that_no_file_can_have_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write_coco(tmp_path, "train", range(2))
    name = f"{'a' * 300}.png"
    path.write_text(path.read_text().replace("scene_1.png", name))
    printed = fault(capsys, "train", "--data", str(tmp_path), "--out", str(tmp_path / "out"))
    assert printed == f"rpn: {path}: image 1: its picture {tmp_path / 'images' / name} is not there\n"


def test_a_damaged_state_is_said_to_be_damaged(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    whole = folder(command) / STATE_FILE
    out = tmp_path / "out"
    out.mkdir()
    (out / STATE_FILE).write_bytes(whole.read_bytes()[:1000])
    printed = fault(capsys, *(str(out) if argument == str(folder(command)) else argument for argument in command))
    assert "cannot be resumed from (it is damaged, or no state of a run); move it away to start anew" in printed


def test_a_state_that_cannot_be_read_is_not_called_damaged(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    (out / STATE_FILE).mkdir(parents=True)
    printed = fault(capsys, *(str(out) if argument == str(folder(command)) else argument for argument in command))
    assert printed == f"rpn: {out / STATE_FILE}: Is a directory\n"


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_damaged_picture_is_named_with_its_record(workers: str, tmp_path: Path):
    for split, seeds in (("train", range(6)), ("val", range(20, 22))):
        write_coco(tmp_path, split, seeds)
    picture = tmp_path / "images" / "scene_1.png"
    picture.write_bytes(picture.read_bytes()[:100])
    options = ["--input-size", "64", "--device", "cpu", "--workers", workers, "--batch-size", "2"]
    command = ["train", "--data", str(tmp_path), "--out", str(tmp_path / "out"), *options]
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", *command], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    fault = f"rpn: {tmp_path / 'train.json'}: image 1: {picture}: the PNG data cannot be decoded"
    assert done.stderr.splitlines()[-1] == f"{fault} (the data end too early)"
    assert "Traceback" not in done.stderr


def test_a_damaged_validation_picture_loses_no_step(tmp_path: Path):
    write_coco(tmp_path, "train", range(4))
    write_coco(tmp_path, "val", range(20, 22))
    picture = tmp_path / "images" / "scene_20.png"
    content = picture.read_bytes()
    picture.write_bytes(content[:100])
    out = tmp_path / "out"
    options = ["--out", str(out), "--input-size", "64", "--device", "cpu", "--epochs", "1", "--batch-size", "2"]
    command = [sys.executable, "-m", "service.cli", "train", "--data", str(tmp_path), *options]
    stopped = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert stopped.returncode == 2
    assert stopped.stdout == f"stopped; the same command goes on from {out / STATE_FILE}\n"
    assert f"{picture}: the PNG data cannot be decoded" in stopped.stderr.splitlines()[-1]
    picture.write_bytes(content)
    finished = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (0, f"checkpoints are in {out}\n")


def test_a_signal_to_the_whole_group_stops_the_run_and_not_its_workers(tmp_path: Path):
    """As `timeout`, systemd and terminals send it."""
    write_coco(tmp_path, "train", range(150))
    write_coco(tmp_path, "val", range(200, 202))
    out = tmp_path / "out"
    options = ["--input-size", "64", "--device", "cpu", "--workers", "2", "--epochs", "1", "--batch-size", "1"]
    command = [sys.executable, "-m", "service.cli", "train", "--data", str(tmp_path), "--out", str(out), *options]
    with (tmp_path / "log").open("wb") as log:
        run = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=REPOSITORY)
    try:
        end = time.monotonic() + PATIENCE_S
        while not re.search(r" [1-9]\d?/150 \[", (tmp_path / "log").read_text()):
            assert run.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < end, (tmp_path / "log").read_text()
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGTERM)
        assert run.wait(PATIENCE_S) == 130
    finally:
        run.kill()
        run.wait()
    printed = (tmp_path / "log").read_text()
    assert "the same command goes on from" in printed
    assert "Traceback" not in printed
    assert (out / STATE_FILE).exists()
    assert not list(out.glob("*.partial"))


def test_a_run_that_is_killed_goes_on_to_the_bit(tmp_path: Path):
    """By one thread each: two processes train side by side at first, the one that is killed and an undisturbed one."""
    write_coco(tmp_path, "train", range(12))
    write_coco(tmp_path, "val", range(20, 21))
    options = ["--architecture", "rpn_regnet_x_400mf_fpn", "--input-size", "64", "--epochs", "1", "--batch-size", "1"]
    options += ["--device", "cpu", "--workers", "0", "--data", str(tmp_path), "--out"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with started("-m", "service.cli", "train", *options, str(whole)) as undisturbed:
        with started("-c", SAVING, "train", *options, str(broken)) as killed:
            wait_for(broken / STATE_FILE, killed)
            killed.kill()
        progress = torch.load(broken / STATE_FILE, weights_only=True)["progress"]
        assert progress["epoch"] == 0
        assert 0 < progress["total"] < 12, "in the middle of the epoch"
        with started("-c", SAVING, "train", *options, str(broken)) as resumed:
            _, said = resumed.communicate(timeout=PATIENCE_S)
        undisturbed.communicate(timeout=PATIENCE_S)
    assert (killed.returncode, resumed.returncode, undisturbed.returncode) == (-signal.SIGKILL, 0, 0)
    assert f"resumed at epoch 1, step {progress['total']}\n" in said
    first, second = (load_checkpoint(folder / LAST_FILE).state_dict for folder in (whole, broken))
    assert list(first) == list(second)
    assert [name for name, tensor in first.items() if not torch.equal(tensor, second[name])] == []


def started(*arguments: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"{path.name} does not come"
        time.sleep(0.01)


def test_help_says_how_several_gpus_are_used(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    assert "\n  torchrun --standalone --nproc-per-node 2 --no-python rpn train ...\n" in capsys.readouterr().out
