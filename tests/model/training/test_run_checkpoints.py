"""Which epoch's weights a run keeps as its best."""

from pathlib import Path

import pytest
import torch

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.config import ModelConfig
from model.network.network import build_network
from model.training.progress import Progress
from model.training.recipe import Recipe
from model.training.run import Run
from model.training.run_checkpoints import keep
from model.training.run_folder import BEST_FILE, LAST_FILE


@pytest.fixture
def run(tiny_config: ModelConfig, tmp_path: Path) -> Run:
    return Run("scenes", tiny_config, Recipe(), [], [], tmp_path, torch.device("cpu"), best_by="AR@10")


def version(run: Run, name: str) -> str:
    return load_checkpoint(run.folder / name).version


def epoch(run: Run, progress: Progress, version: str, figures: dict[str, float]) -> None:
    weights = build_network(run.config).state_dict()
    metrics = {"validation": figures} if figures else {}
    keep(run, progress, Checkpoint("scenes", version, run.config, weights, {}, metrics), weights)


def test_the_best_is_that_of_the_figure_asked_for_and_the_last_the_last(run: Run):
    progress = Progress()
    for name, ten, hundred in (("1", 0.2, 0.1), ("2", 0.3, 0.0), ("3", 0.1, 0.9)):
        epoch(run, progress, name, {"AR@10": ten, "AR@100": hundred})
    assert (version(run, BEST_FILE), version(run, LAST_FILE), progress.best) == ("2", "3", 0.3)
    epoch(run, progress, "4", {"AR@10": 0.3, "AR@100": 0.0})
    assert version(run, BEST_FILE) == "4", "of equals the one that was trained longer"


def test_with_nothing_to_judge_by_the_last_is_the_best(run: Run):
    progress = Progress()
    for name in ("1", "2"):
        epoch(run, progress, name, {})
    assert (version(run, BEST_FILE), version(run, LAST_FILE)) == ("2", "2")
