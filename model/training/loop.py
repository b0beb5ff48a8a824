"""The training loop: batches to steps, epochs to recall, and all of it resumable."""

import csv
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from model.checkpoints.checkpoint import Checkpoint, save_checkpoint
from model.config import ModelConfig
from model.errors import DataError
from model.evaluation.evaluate import evaluate
from model.evaluation.recall import Recall
from model.network.network import build_network
from model.predictor import Predictor
from model.training.annotations import AnnotatedPicture
from model.training.dataset import Batch, CanvasBatchSampler, CanvasDataset, collate
from model.training.ema import MovingAverage
from model.training.objectives.objective import Objective
from model.training.objectives.proposals import ProposalObjective
from model.training.recipe import Recipe
from model.training.schedule import CosineSchedule

log = logging.getLogger(__name__)

STATE_FILE, LOG_FILE = "state.pt", "log.csv"
LAST_FILE, BEST_FILE = "last.safetensors", "best.safetensors"
# What a run is judged by when it chooses its best epoch: what most users of proposals ask for.
_JUDGED_BY = "AR@100"
# A run that is killed without warning loses at most so many steps.
_SAVE_EVERY = 200


@dataclass(slots=True)
class Progress:
    """How far a run has come: ``step`` counts within the epoch, ``total`` over the run."""

    epoch: int = 0
    step: int = 0
    total: int = 0
    best: float = -1.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """What to train, on what, how, and where to write. ``objective``: the RPN alone, or something that holds one.

    ``start``: weights to start from, by name, all or some of the network's; those that it has not, or has in another
    shape, are an error of the caller. ``provenance`` goes into the checkpoints as it is.
    """

    name: str
    config: ModelConfig
    recipe: Recipe
    train: Sequence[AnnotatedPicture]
    validation: Sequence[AnnotatedPicture]
    folder: Path
    device: torch.device
    objective: Objective = field(default_factory=ProposalObjective)
    workers: int = 1
    start: dict[str, Tensor] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


class Trainer:
    """Trains a `Run`; built again on the same folder, it goes on where the run stopped."""

    def __init__(self, run: Run, *, show_progress: bool = True) -> None:
        if not run.train:
            raise DataError(f"{run.name}: there are no training pictures")
        self.run = run
        self.show_progress = show_progress
        torch.manual_seed(run.recipe.seed)
        self.objective = run.objective
        self.network = self.objective.build(run.config).to(run.device).to(memory_format=torch.channels_last)
        if run.start is not None:
            self.network.load_state_dict({**self.network.state_dict(), **run.start})
        self.average = MovingAverage(self.network, run.recipe.ema_decay)
        self.optimizer = _optimizer(self.network, run.recipe)
        self.dataset = CanvasDataset(
            run.train, run.config.input, run.recipe.augmentation, run.recipe.seed, self.objective.classes
        )
        self.batches = CanvasBatchSampler(self.dataset, run.recipe.batch_size, run.recipe.seed)
        self.schedule = CosineSchedule(
            run.recipe.learning_rate, run.recipe.warmup_steps, self.batches.in_epoch * run.recipe.epochs
        )
        self.progress = Progress()
        run.folder.mkdir(parents=True, exist_ok=True)
        if (run.folder / STATE_FILE).exists():
            self._resume()

    def train(self) -> Progress:
        """Train to the end of the recipe. Interrupted (Ctrl-C), it saves its state first and then raises.

        Raises:
            FloatingPointError: a loss is no longer finite; the last saved state is sound.
        """
        try:
            while self.progress.epoch < self.run.recipe.epochs:
                losses = self._epoch()
                self._finish_epoch(losses)
        except KeyboardInterrupt:
            self._save_state()
            raise
        return self.progress

    def _epoch(self) -> dict[str, float]:
        self.network.train()
        self.batches.epoch, self.batches.start = self.progress.epoch, self.progress.step
        loader = DataLoader(
            self.dataset,
            batch_sampler=self.batches,
            collate_fn=collate,
            num_workers=self.run.workers,
            pin_memory=self.run.device.type == "cuda",
        )
        sums: dict[str, float] = {}
        counted = 0
        description = f"epoch {self.progress.epoch + 1}/{self.run.recipe.epochs}"
        with tqdm(
            loader,
            desc=description,
            unit="batch",
            initial=self.progress.step,
            total=self.batches.in_epoch,
            disable=not self.show_progress,
            mininterval=1.0,
        ) as bar:
            for batch in bar:
                started = time.monotonic()
                losses = self._step(batch.to(self.run.device))
                self.progress.seconds += time.monotonic() - started
                counted += 1
                for name, loss in losses.items():
                    sums[name] = sums.get(name, 0.0) + loss
                bar.set_postfix({name: f"{total / counted:.4f}" for name, total in sums.items()})
                if self.progress.step % _SAVE_EVERY == 0:
                    self._save_state()
        return {name: total / max(1, counted) for name, total in sums.items()}

    def _step(self, batch: Batch) -> dict[str, float]:
        recipe = self.run.recipe
        rate = self.schedule(self.progress.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # Seeded by the step, so that a resumed run samples the anchors that an unbroken one would.
        generator = torch.Generator(self.run.device).manual_seed(recipe.seed * 1_000_003 + self.progress.total)
        with torch.autocast(self.run.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            losses = self.objective.losses(self.network, batch, recipe, generator)
        total = torch.stack(list(losses.values())).sum()
        if not math.isfinite(loss := total.item()):
            raise FloatingPointError(f"the loss is {loss} at step {self.progress.total}; try a lower learning rate")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip_norm)
        self.optimizer.step()
        self.average.update(self.network)
        self.progress.step += 1
        self.progress.total += 1
        return {name: loss.item() for name, loss in losses.items()}

    def _finish_epoch(self, losses: dict[str, float]) -> None:
        self.progress.epoch += 1
        self.progress.step = 0
        recall = self._measure()
        figures = {} if recall is None else recall.to_dict()
        self._log({"epoch": self.progress.epoch, "steps": self.progress.total, **losses, **figures})
        checkpoint = self._checkpoint(figures)
        self._save(checkpoint, LAST_FILE)
        judged = figures.get(_JUDGED_BY, math.inf)  # with nothing to judge by, the last is the best
        if judged >= self.progress.best:
            self.progress.best = judged
            self._save(checkpoint, BEST_FILE)
        self._save_state()

    def _save(self, checkpoint: Checkpoint, name: str) -> None:
        save_checkpoint(checkpoint, self.run.folder / name)
        self.objective.save_beside(checkpoint, self.average.values, self.run.folder / name)

    def _measure(self) -> Recall | None:
        if not self.run.validation:
            return None
        network = build_network(self.run.config)
        network.load_state_dict(self.objective.proposal_weights(self.average.values))
        predictor = Predictor(network, self._checkpoint({}), self.run.device)
        return evaluate(predictor, self.run.validation, progress=self.show_progress)

    def _checkpoint(self, figures: dict[str, float]) -> Checkpoint:
        training = {
            "objective": self.objective.describe(),
            "recipe": self.run.recipe.to_dict(),
            "epochs_done": self.progress.epoch,
            "steps_done": self.progress.total,
            "step_seconds": round(self.progress.seconds, 1),
        }
        return Checkpoint(
            name=self.run.name,
            version="0",
            config=self.run.config,
            state_dict=self.objective.proposal_weights(self.average.values),
            provenance={**self.run.provenance, "training": training},
            metrics={"validation": figures} if figures else {},
        )

    def _log(self, row: dict[str, float]) -> None:
        path = self.run.folder / LOG_FILE
        fresh = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(row)
            writer.writerow(f"{value:.5g}" if isinstance(value, float) else value for value in row.values())
        log.info("epoch %d: %s", row["epoch"], " ".join(f"{k} {v:.4f}" for k, v in row.items() if k in _SHOWN))

    def _save_state(self) -> None:
        state = {
            "objective": self.objective.describe(),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": {name: getattr(self.progress, name) for name in Progress.__slots__},
        }
        partial = self.run.folder / (STATE_FILE + ".partial")
        torch.save(state, partial)
        partial.replace(self.run.folder / STATE_FILE)

    def _resume(self) -> None:
        path = self.run.folder / STATE_FILE
        try:
            state = torch.load(path, map_location=self.run.device, weights_only=True)
            if state.get("objective", _BEFORE_OBJECTIVES) != self.objective.describe():
                raise ValueError("it was trained for another objective, for other classes, or with other RoI settings")
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.progress = Progress(**state["progress"])
        except Exception as error:  # a damaged or foreign file fails in as many ways as there are
            reason = str(error).splitlines()[0][:100]
            raise DataError(f"{path}: cannot be resumed from ({reason}); move it away to start anew") from error
        log.info("resumed at epoch %d, step %d", self.progress.epoch + 1, self.progress.step)


_SHOWN = ("objectness", "box", "roi_class", "roi_box", "AR@10", "AR@100", "AR@1000")
# What a state that does not say was trained for: the only objective there was.
_BEFORE_OBJECTIVES = ProposalObjective().describe()


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    spared = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)
