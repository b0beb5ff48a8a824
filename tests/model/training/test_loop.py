"""Training for real, on drawn scenes: it learns, it stops and goes on to the bit, and its checkpoints can be served."""

import csv
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from model import torch_execution
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.config import ModelConfig, RefinementConfig, longest_side_rule
from model.errors import ConfigError, DataError
from model.evaluation.evaluate import evaluate
from model.evaluation.recall import Recall
from model.network.network import build_network
from model.predictor import Predictor
from model.training import loop
from model.training.annotations import AnnotatedPicture, read_annotations
from model.training.augmentation import AugmentationConfig
from model.training.dataset import Batch, collate
from model.training.loop import Trainer
from model.training.ranks import Ranks
from model.training.recipe import Recipe
from model.training.rules import CLASSIC_RULES
from model.training.run import Run
from model.training.run_folder import BEST_FILE, EVENTS_FOLDER, LAST_FILE, LOG_FILE, STATE_FILE
from tests.model.training.waits import Waits
from tests.scenes import write_coco

RECIPE = Recipe(epochs=2, batch_size=4, warmup_steps=2, seed=3)


@pytest.fixture
def scenes(tmp_path: Path) -> list[AnnotatedPicture]:
    return read_annotations(write_coco(tmp_path / "data", "train", range(12)))


def make_run(config: ModelConfig, scenes: list[AnnotatedPicture], folder: Path, **changes: object) -> Run:
    values = {"recipe": RECIPE, "validation": scenes[:4], "device": torch.device("cpu"), "workers": 0, **changes}
    return Run(name="scenes", config=config, train=scenes, folder=folder, **values)  # type: ignore[arg-type]


def read_log(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / LOG_FILE).read_text().splitlines()))


def train(run: Run) -> Trainer:
    trainer = Trainer(run, show_progress=False)
    trainer.train()
    return trainer


def stop_in_step(trainer: Trainer, step: int) -> None:
    """A real SIGTERM in the middle of that step, counted from 1."""
    losses = trainer._losses

    def signalled(batch: Batch) -> dict[str, torch.Tensor]:
        if trainer.progress.total == step - 1 and not trainer.stop.made:
            os.kill(os.getpid(), signal.SIGTERM)
        return losses(batch)

    trainer._losses = signalled  # type: ignore[method-assign]


def test_writes_a_log_and_servable_checkpoints(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    train(make_run(tiny_config, scenes, tmp_path / "run", provenance={"data": "drawn scenes"}))
    rows = read_log(tmp_path / "run")
    assert [(row["epoch"], row["steps"]) for row in rows] == [("1", "3"), ("2", "6")]
    assert float(rows[1]["objectness"]) < float(rows[0]["objectness"])
    checkpoint = load_checkpoint(tmp_path / "run" / LAST_FILE)
    assert checkpoint.metrics["validation"]["AR@100"] == pytest.approx(float(rows[1]["AR@100"]))
    assert checkpoint.provenance["data"] == "drawn scenes"
    assert checkpoint.provenance["training"]["recipe"]["seed"] == 3
    assert Predictor.load(tmp_path / "run" / BEST_FILE, device="cpu").info.name == "scenes"


@pytest.fixture
def measured_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Training has two, which add up in another order."""
    before = torch.get_num_threads()
    monkeypatch.setattr(torch_execution, "default_threads", lambda: 1)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("measured_by_one_thread")
@pytest.mark.parametrize("stop_after", [2, 3, 4])
def test_an_interrupted_run_goes_on_to_the_bit(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path, stop_after: int
):
    whole = train(make_run(tiny_config, scenes, tmp_path / "whole"))
    broken = Trainer(make_run(tiny_config, scenes, tmp_path / "broken"), show_progress=False)
    stop_in_step(broken, stop_after)
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    # another process starts from other random numbers, and by as many threads as this one did
    torch.manual_seed(99)
    torch.set_num_threads(2)
    resumed = Trainer(make_run(tiny_config, scenes, tmp_path / "broken"), show_progress=False)
    assert resumed.progress.total == stop_after
    resumed.train()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    first, second = (load_checkpoint(tmp_path / run / LAST_FILE) for run in ("whole", "broken"))
    assert all(torch.equal(t, second.state_dict[n]) for n, t in first.state_dict.items())


def test_a_run_that_is_stopped_while_it_is_measured_goes_on_with_the_measuring(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = make_run(tiny_config, scenes, tmp_path, recipe=replace(RECIPE, epochs=1))
    with monkeypatch.context() as patch:
        patch.setattr(loop, "evaluate", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(KeyboardInterrupt):
            train(run)
    assert not (tmp_path / LOG_FILE).exists()
    trainer = train(run)
    assert (trainer.progress.epoch, trainer.progress.total) == (1, 3)
    (row,) = read_log(tmp_path)
    assert float(row["objectness"]) > 0, "the losses of before it was stopped"
    assert float(row["pictures_per_second"]) == pytest.approx(12 / float(row["seconds"]), rel=1e-3)
    training = load_checkpoint(tmp_path / LAST_FILE).provenance["training"]
    assert training["resumed"] == 1
    assert [session["from_step"] for session in training["sessions"]] == [0, 3]
    assert all(session["wall_seconds"] > 0 for session in training["sessions"])


def test_a_run_is_not_gone_on_with_under_other_settings(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    run = make_run(tiny_config, scenes, tmp_path, validation=[])
    Trainer(run, show_progress=False)._save_state()
    for other, named in (
        (replace(run, recipe=replace(RECIPE, learning_rate=0.5)), "recipe.learning_rate is 0.001 there and 0.5 here"),
        (replace(run, train=scenes[1:]), "data.train is 12 pictures with .* there and 11 pictures with .* here"),
        (
            replace(run, config=replace(tiny_config, input=longest_side_rule(64))),
            "config.input.size is 96 there and 64",
        ),
    ):
        with pytest.raises(DataError, match=f"{tmp_path} holds another run: {named}"):
            Trainer(other, show_progress=False)
    Trainer(run, show_progress=False)


def test_batches_are_accumulated_to_one_step_and_an_epochs_last_group_is_not_lost(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    """12 scenes make 6 batches of 2: a step of 4 and one of the last 2; stopped between them, it goes on to the bit."""
    recipe = replace(RECIPE, batch_size=2, accumulate=4, epochs=1)
    whole = train(make_run(tiny_config, scenes, tmp_path / "whole", validation=[], recipe=recipe))
    assert (whole.progress.total, whole.steps) == (2, 2)
    broken = Trainer(
        make_run(tiny_config, scenes, tmp_path / "broken", validation=[], recipe=recipe), show_progress=False
    )
    stop_in_step(broken, 1)
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    resumed = Trainer(
        make_run(tiny_config, scenes, tmp_path / "broken", validation=[], recipe=recipe), show_progress=False
    )
    assert (resumed.progress.total, resumed.progress.batch) == (1, 4)
    resumed.train()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_picture_that_breaks_loses_no_step(
    accumulate: int, tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    """12 scenes make 4 batches of 3, in which each is once: one of the last batch breaks, and is mended."""
    recipe = replace(RECIPE, epochs=1, batch_size=3, accumulate=accumulate)
    whole = train(make_run(tiny_config, scenes, tmp_path / "whole", validation=[], recipe=recipe))
    run = make_run(tiny_config, scenes, tmp_path / "broken", validation=[], recipe=recipe)
    broken = Trainer(run, show_progress=False)
    *_, last = broken.batches
    index, _ = last[0]
    picture = scenes[index].path
    content = picture.read_bytes()
    picture.write_bytes(content[:100])
    with pytest.raises(DataError, match=f"{picture.name}: the PNG data cannot be decoded"):
        broken.train()
    picture.write_bytes(content)
    resumed = Trainer(run, show_progress=False)
    assert (resumed.progress.total, resumed.progress.batch) == {1: (3, 3), 2: (1, 2)}[accumulate]
    resumed.train()
    for (name, weights), theirs in zip(whole.network.named_parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(weights, theirs), name


def test_a_run_can_be_followed_in_tensorboard(tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path):
    train(make_run(tiny_config, scenes, tmp_path, tensorboard=True, recipe=replace(RECIPE, epochs=1)))
    events = EventAccumulator(str(tmp_path / EVENTS_FOLDER))
    events.Reload()
    (row,) = read_log(tmp_path)
    for tag, column in {"loss/objectness": "objectness", "learning_rate": "learning_rate"}.items():
        (point,) = events.Scalars(tag)
        assert (point.step, point.value) == (3, pytest.approx(float(row[column]), rel=1e-3))
    (point,) = events.Scalars("recall/AR@100")
    assert (point.step, point.value) == (1, pytest.approx(float(row["AR@100"])))
    assert events.Scalars("pictures_per_second")[0].value > 0


def test_workers_change_nothing(tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path):
    alone = train(make_run(tiny_config, scenes, tmp_path / "alone", validation=[]))
    helped = train(make_run(tiny_config, scenes, tmp_path / "helped", validation=[], workers=2))
    for name, tensor in alone.network.state_dict().items():
        assert torch.equal(tensor, helped.network.state_dict()[name]), name


def test_a_damaged_state_is_named_and_kept(tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / STATE_FILE).write_bytes(b"not a state")
    with pytest.raises(DataError, match=r"state\.pt: cannot be resumed from .* move it away"):
        Trainer(make_run(tiny_config, scenes, folder), show_progress=False)
    assert (folder / STATE_FILE).read_bytes() == b"not a state"


def test_a_state_of_another_network_is_refused(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    torch.save({"network": {"other": torch.zeros(1)}}, tmp_path / STATE_FILE)
    with pytest.raises(DataError, match="cannot be resumed from"):
        Trainer(make_run(tiny_config, scenes, tmp_path), show_progress=False)


@pytest.mark.parametrize(("after_s", "saved_at"), [(0.0, [1, 2, 3]), (3600.0, [3])])
def test_a_long_epoch_is_saved_on_the_way(
    tiny_config: ModelConfig,
    scenes: list[AnnotatedPicture],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after_s: float,
    saved_at: list[int],
):
    monkeypatch.setattr(loop, "_SAVE_AFTER_S", after_s)
    run = make_run(tiny_config, scenes, tmp_path, recipe=replace(RECIPE, epochs=1), validation=[])
    trainer = Trainer(run, show_progress=False)
    steps: list[int] = []
    monkeypatch.setattr(loop, "save_state", lambda *_: steps.append(trainer.progress.total))
    trainer.train()
    assert sorted(set(steps)) == saved_at


def test_a_loss_that_is_not_finite_ends_the_run(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    trainer = Trainer(make_run(tiny_config, scenes, tmp_path), show_progress=False)
    trainer.network.rpn.head.bbox_pred.bias.data.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0"):
        trainer.train()


def test_a_gradient_that_is_not_finite_reaches_no_weight(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    trainer = Trainer(make_run(tiny_config, scenes, tmp_path), show_progress=False)
    before = {name: weight.clone() for name, weight in trainer.network.named_parameters()}
    bias = trainer.network.rpn.head.bbox_pred.bias
    handle = bias.register_hook(lambda gradient: gradient / 0)
    with pytest.raises(FloatingPointError, match="the gradient is not finite at step 0; try a lower learning rate"):
        trainer.train()
    assert all(torch.equal(weight, before[name]) for name, weight in trainer.network.named_parameters())
    assert not (tmp_path / STATE_FILE).exists()
    handle.remove()
    bias.register_hook(lambda gradient: torch.full_like(gradient, 1e30))  # finite, of a norm that is not
    trainer.train()
    assert all(weight.isfinite().all() for weight in trainer.network.parameters())


def test_a_gradient_is_shortened_to_the_recipes_longest(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    run = make_run(tiny_config, scenes, tmp_path, recipe=replace(RECIPE, clip_norm=3.0))
    trainer = Trainer(run, show_progress=False)
    parameters = list(trainer.network.parameters())
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    trainer._clip()
    lengths = torch.stack([p.grad.norm() for p in parameters if p.grad is not None])
    assert lengths.norm().item() == pytest.approx(3.0, rel=1e-4)


def test_a_gpu_is_waited_for_twice_a_step(tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path):
    """To count the foreground, and to read back what has come of it."""
    config = replace(tiny_config, refinement=RefinementConfig(proposals=40, channels=8, hidden=32))
    trainer = Trainer(make_run(config, scenes, tmp_path), show_progress=False)
    batches = (collate([trainer.dataset[key] for key in keys]) for keys in trainer.batches)
    trainer._backward(batches)  # how many anchors share a place is counted once for a canvas
    with Waits() as waits:
        judged = trainer._backward(batches)
        norm = trainer._clip()
    assert waits.found == ["nonzero"]
    tally, length = trainer._read_back(judged, norm)
    assert (tally.batches, tally.pictures, length) == (1, 4, norm.item())
    assert tally.losses == {name: loss.item() for name, loss in judged[0][1].items()}
    assert list(tally.losses) == ["objectness", "box", "refined_objectness", "refined_box"]


def test_bf16_trains_too_and_keeps_weights_in_fp32(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    recipe = replace(RECIPE, epochs=1, precision="bf16")
    trainer = train(make_run(tiny_config, scenes[:4], tmp_path, recipe=recipe, validation=[]))
    assert trainer.progress.total == 1
    assert {weight.dtype for weight in trainer.network.parameters()} == {torch.float32}
    assert all(weight.isfinite().all() for weight in trainer.network.parameters())


@pytest.mark.parametrize("option", ["freeze_norms", "sync_norm"])
def test_norms_that_are_not_there_are_neither_frozen_nor_joined(
    option: str, tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    fixed = replace(tiny_config, backbone=replace(tiny_config.backbone, frozen_norm=True))
    run = make_run(fixed, scenes, tmp_path, recipe=replace(RECIPE, **{option: True}), device=torch.device("cuda"))
    with pytest.raises(ConfigError, match=f"recipe: {option} is for .*, and this rpn_regnet_x_400mf_fpn has none"):
        Trainer(run, ranks=Ranks(run.device, rank=0, count=2))


def test_no_pictures_is_said_at_once(tiny_config: ModelConfig, tmp_path: Path):
    with pytest.raises(DataError, match="scenes: there are no training pictures"):
        Trainer(make_run(tiny_config, [], tmp_path))


def test_it_learns(tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path):
    """The point of it all: after a short while its ten best proposals find what they did not find before."""
    plain = AugmentationConfig(crop=0, zoom_out=0, colour=0)  # to learn a dozen scenes by heart is quick
    recipe = Recipe(epochs=20, batch_size=4, learning_rate=2e-3, ema_decay=0.9, augmentation=plain, rules=CLASSIC_RULES)
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
    return evaluate(Predictor.of(network, checkpoint, trainer.run.device), scenes, progress=False)
