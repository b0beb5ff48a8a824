"""Training for real, on drawn scenes: it learns, it stops and goes on to the bit, and its checkpoints can be served."""

import csv
from pathlib import Path

import pytest
import torch

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.config import ModelConfig
from model.errors import DataError
from model.evaluation.evaluate import evaluate
from model.evaluation.recall import Recall
from model.network.network import build_network
from model.predictor import Predictor
from model.training import loop
from model.training.annotations import AnnotatedPicture, read_annotations
from model.training.augmentation import AugmentationConfig
from model.training.loop import Run, Trainer
from model.training.recipe import Recipe
from tests.scenes import write_coco

RECIPE = Recipe(epochs=2, batch_size=4, warmup_steps=2, seed=3)


@pytest.fixture
def scenes(tmp_path: Path) -> list[AnnotatedPicture]:
    return read_annotations(write_coco(tmp_path / "data", "train", range(12)))


def make_run(config: ModelConfig, scenes: list[AnnotatedPicture], folder: Path, **changes: object) -> Run:
    values = {"recipe": RECIPE, "validation": scenes[:4], "device": torch.device("cpu"), "workers": 0, **changes}
    return Run(name="scenes", config=config, train=scenes, folder=folder, **values)  # type: ignore[arg-type]


def read_log(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / loop.LOG_FILE).read_text().splitlines()))


def train(run: Run) -> Trainer:
    trainer = Trainer(run, show_progress=False)
    trainer.train()
    return trainer


def test_writes_a_log_and_servable_checkpoints(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    train(make_run(tiny_config, scenes, tmp_path / "run", provenance={"data": "drawn scenes"}))
    rows = read_log(tmp_path / "run")
    assert [(row["epoch"], row["steps"]) for row in rows] == [("1", "3"), ("2", "6")]
    assert float(rows[1]["objectness"]) < float(rows[0]["objectness"])
    checkpoint = load_checkpoint(tmp_path / "run" / loop.LAST_FILE)
    assert checkpoint.metrics["validation"]["AR@100"] == pytest.approx(float(rows[1]["AR@100"]))
    assert checkpoint.provenance["data"] == "drawn scenes"
    assert checkpoint.provenance["training"]["recipe"]["seed"] == 3
    assert Predictor.load(tmp_path / "run" / loop.BEST_FILE, device="cpu").info.name == "scenes"


@pytest.mark.parametrize("stop_after", [2, 3])
def test_an_interrupted_run_goes_on_to_the_bit(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path, stop_after: int
):
    whole = train(make_run(tiny_config, scenes, tmp_path / "whole", validation=[]))
    broken = Trainer(make_run(tiny_config, scenes, tmp_path / "broken", validation=[]), show_progress=False)
    step = broken._step

    def interrupted(batch: loop.Batch) -> dict[str, float]:
        if broken.progress.total == stop_after:
            raise KeyboardInterrupt
        return step(batch)

    broken._step = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    torch.manual_seed(99)  # another process starts from other random numbers
    resumed = Trainer(make_run(tiny_config, scenes, tmp_path / "broken", validation=[]), show_progress=False)
    assert resumed.progress.total == stop_after
    resumed.train()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    first, second = (load_checkpoint(tmp_path / run / loop.LAST_FILE) for run in ("whole", "broken"))
    assert all(torch.equal(t, second.state_dict[n]) for n, t in first.state_dict.items())


def test_workers_change_nothing(tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path):
    alone = train(make_run(tiny_config, scenes, tmp_path / "alone", validation=[]))
    helped = train(make_run(tiny_config, scenes, tmp_path / "helped", validation=[], workers=2))
    for name, tensor in alone.network.state_dict().items():
        assert torch.equal(tensor, helped.network.state_dict()[name]), name


def test_a_damaged_state_is_named_and_kept(tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / loop.STATE_FILE).write_bytes(b"not a state")
    with pytest.raises(DataError, match=r"state\.pt: cannot be resumed from .* move it away"):
        Trainer(make_run(tiny_config, scenes, folder), show_progress=False)
    assert (folder / loop.STATE_FILE).read_bytes() == b"not a state"


def test_a_state_of_another_network_is_refused(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    torch.save({"network": {"other": torch.zeros(1)}}, tmp_path / loop.STATE_FILE)
    with pytest.raises(DataError, match="cannot be resumed from"):
        Trainer(make_run(tiny_config, scenes, tmp_path), show_progress=False)


def test_a_loss_that_is_not_finite_ends_the_run(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    trainer = Trainer(make_run(tiny_config, scenes, tmp_path), show_progress=False)
    trainer.network.rpn.head.bbox_pred.bias.data.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0"):
        trainer.train()


def test_no_pictures_is_said_at_once(tiny_config: ModelConfig, tmp_path: Path):
    with pytest.raises(DataError, match="scenes: there are no training pictures"):
        Trainer(make_run(tiny_config, [], tmp_path))


def test_it_learns(tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path):
    """The point of it all: after a short while its ten best proposals find what they did not find before."""
    plain = AugmentationConfig(crop=0, zoom_out=0, colour=0)  # to learn a dozen scenes by heart is quick
    recipe = Recipe(epochs=20, batch_size=4, learning_rate=2e-3, warmup_steps=10, ema_decay=0.9, augmentation=plain)
    run = make_run(tiny_config, scenes, tmp_path / "run", recipe=recipe, validation=[])
    trainer = Trainer(run, show_progress=False)
    before = recall_of(trainer, scenes)
    trainer.train()
    after = recall_of(trainer, scenes)
    assert after.average(10) > 2.5 * before.average(10)
    assert after.at(0.5, 100) > 0.75


def recall_of(trainer: Trainer, scenes: list[AnnotatedPicture]) -> Recall:
    network = build_network(trainer.run.config)
    network.load_state_dict(trainer.average.values)
    checkpoint = Checkpoint("scenes", "0", trainer.run.config, {})
    return evaluate(Predictor(network, checkpoint, trainer.run.device), scenes, progress=False)
