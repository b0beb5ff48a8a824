"""Two processes, started by torchrun itself, on the CPU: they train as one would on their batches together."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model.errors import ConfigError, DeviceError
from model.evaluation.training_log import read_log
from model.network.network import ProposalNetwork
from model.network.rpn import ScoredAnchors
from model.training.annotations import AnnotatedPicture, read_annotations
from model.training.dataset import Batch, collate
from model.training.lesson import Lesson
from model.training.loop import Trainer
from model.training.objectives.proposals import ProposalObjective
from model.training.ranks import Ranks, join_ranks
from model.training.run_folder import BEST_FILE, LAST_FILE, LOG_FILE, STATE_FILE
from service import cli
from tests.model.training.rank import RECIPE, make_run, take_gradient
from tests.scenes import write_coco

ROOT = Path(__file__).parents[3]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# Far more than it takes: a hang must not hold up everything else.
PATIENCE = 240


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_coco(folder, "train", range(8))
    write_coco(folder, "val", range(20, 22))
    return folder


@pytest.fixture(scope="module")
def scenes(data: Path) -> list[AnnotatedPicture]:
    return read_annotations(data / "train.json")


@pytest.fixture(scope="module")
def together(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("together")
    command = [*TORCHRUN, "-m", "tests.model.training.rank", str(data / "train.json"), str(out)]
    subprocess.run(command, cwd=ROOT, env=environment(), check=True, timeout=PATIENCE)
    return out


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def of_ranks(folder: Path) -> list[dict[str, dict[str, Tensor]]]:
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


class Scored(nn.Module):
    """Some of a joint batch's pictures, scored already; in a network's place."""

    def __init__(self, scored: ScoredAnchors, rows: slice) -> None:
        super().__init__()
        self.part = replace(scored, logits=[x[rows] for x in scored.logits], deltas=[x[rows] for x in scored.deltas])

    def forward(self, pixels: Tensor, contents: Tensor) -> ScoredAnchors:
        return self.part


def joint_gradient(network: ProposalNetwork, batches: list[Batch]) -> dict[str, Tensor]:
    """The gradient of one forward pass of all pictures, with the anchors that each batch draws for itself."""
    pixels, contents = (torch.cat([getattr(b, name) for b in batches]) for name in ("pixels", "contents"))
    scored = network(pixels, contents)
    losses = []
    for number, batch in enumerate(batches):
        rows = slice(number * len(batch.pixels), (number + 1) * len(batch.pixels))
        generator = torch.Generator().manual_seed(RECIPE.seed * 1_000_003 + number)
        lesson: Any = Lesson(Scored(scored, rows), ProposalObjective(), RECIPE)
        losses += lesson(batch, generator).values()
    (torch.stack(losses).sum() / len(batches)).backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def assert_same_gradient(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        # relative to the tensor's largest: sums in another order
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-4 * float(gradient.abs().max()), msg=name)


def test_both_end_with_the_same_weights_to_the_bit(together: Path):
    first, second = of_ranks(together)
    for part in ("gradient", "weights"):
        assert all(torch.equal(tensor, second[part][name]) for name, tensor in first[part].items()), part


def test_one_that_is_asked_to_stop_stops_all_and_they_go_on_to_the_bit(together: Path):
    for rank in of_ranks(together):
        assert all(torch.equal(tensor, rank["resumed"][name]) for name, tensor in rank["weights"].items())


def test_only_the_first_writes(together: Path):
    assert not list((together / "1").iterdir())
    assert {path.name for path in (together / "0").iterdir()} == {STATE_FILE, LOG_FILE, BEST_FILE, LAST_FILE}
    assert read_log(together / "0" / LOG_FILE).epochs == [1]


def test_their_gradient_is_the_joint_batchs(together: Path, scenes: list[AnnotatedPicture], tmp_path: Path):
    alone = Trainer(make_run(scenes, tmp_path), show_progress=False)
    batches = [collate([alone.dataset[key] for key in keys]) for keys in list(alone.batches)[:2]]
    assert_same_gradient(of_ranks(together)[0]["gradient"], joint_gradient(alone.network, batches))


def test_they_train_as_one_process_that_accumulates_their_batches(
    together: Path, scenes: list[AnnotatedPicture], tmp_path: Path
):
    alone = Trainer(make_run(scenes, tmp_path, replace(RECIPE, accumulate=2)), show_progress=False)
    assert_same_gradient(take_gradient(alone), of_ranks(together)[0]["gradient"])
    alone.optimizer.zero_grad()
    alone.train()
    one, two = (read_log(folder / LOG_FILE).columns for folder in (tmp_path, together / "0"))
    for column in ("steps", "learning_rate", "objectness", "box"):
        assert one[column] == pytest.approx(two[column], rel=1e-3), column


def test_a_stopped_run_says_so_once_and_is_gone_on_with_by_as_many(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "run"
    options = ["--data", str(data), "--out", str(out), "--input-size", "64", "--device", "cpu", "--workers", "0"]
    command = ["train", *options, "--batch-size", "2", "--epochs", "1000"]
    with subprocess.Popen(
        [*TORCHRUN, "-m", "service.cli", *command],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as torchrun:
        wait_for(out / LOG_FILE, torchrun)
        torchrun.send_signal(signal.SIGTERM)
        said, _ = torchrun.communicate(timeout=PATIENCE)
    assert said == f"stopped; the same command goes on from {out / STATE_FILE}\n"
    assert torchrun.returncode != 0
    assert cli.main(command) == 2
    assert "holds another run: processes is 2 there and 1 here;" in capsys.readouterr().err


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.poll() is None, "it has ended early"
        assert time.monotonic() < end, f"{path.name} does not come"
        time.sleep(0.1)


def test_without_torchrun_one_process_is_alone():
    with join_ranks("cpu") as ranks:
        assert (ranks.rank, ranks.count, ranks.is_first, ranks.device.type) == (0, 1, True, "cpu")
        assert ranks.sums([1.0, 2.0]) == [1.0, 2.0]
        assert ranks.agree(7)
        network = nn.Linear(1, 1)
        assert ranks.share(network) is network


def test_one_device_for_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DeviceError, match="device 'cuda:1' is one device for 2 processes"), join_ranks("cuda:1"):
        pass


def test_joint_norms_need_several_gpus(scenes: list[AnnotatedPicture], tmp_path: Path):
    run = make_run(scenes, tmp_path, replace(RECIPE, sync_norm=True))
    for ranks in (Ranks(run.device), Ranks(run.device, rank=0, count=2)):
        with pytest.raises(ConfigError, match="sync_norm is for several processes with a CUDA device each"):
            Trainer(run, ranks=ranks)
