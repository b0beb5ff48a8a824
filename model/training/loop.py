"""The training loop: batches to steps, epochs to recall, and all of it resumable."""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext

import torch
from torch import Tensor, nn

from model.checkpoints.checkpoint import Checkpoint
from model.errors import ConfigError, DataError
from model.evaluation.evaluate import evaluate
from model.network.network import build_network
from model.predictor import Predictor
from model.training.arithmetic import kept_arithmetic
from model.training.dataset import Batch, CanvasBatchSampler, CanvasDataset
from model.training.ema import MovingAverage
from model.training.epoch_log import write_epoch
from model.training.event_log import EventLog
from model.training.frozen_norms import freeze_norms
from model.training.lesson import Lesson
from model.training.loading import Loading
from model.training.optimizer import build_optimizer
from model.training.out_of_memory import told_what_would_fit
from model.training.progress import Progress, SessionClock, Tally
from model.training.progress_bar import ProgressBar
from model.training.ranks import Ranks
from model.training.run import Run
from model.training.run_checkpoints import keep, run_checkpoint
from model.training.run_folder import LOG_FILE, STATE_FILE
from model.training.run_state import load_state, save_state, unusable
from model.training.schedule import Schedule
from model.training.settings import settings_of
from model.training.stopping import StopRequest

log = logging.getLogger(__name__)

# A run that is killed without warning loses at most so much; a state is written in a fraction of a second.
_SAVE_AFTER_S = 120.0
# Pictures in a batch of the measuring after an epoch: as `rpn eval` has them.
_MEASURED_AT_ONCE = 8
_SHOWN = ("AR@10", "AR@100", "AR@1000")

# How many pictures a batch has, and its losses, still on the device.
_Judged = tuple[int, dict[str, Tensor]]


class Trainer:
    """Trains a `Run`; built again on the same folder with the same settings, it goes on where the run stopped.

    ``ranks``: the processes that train it together, each with a trainer of its own; by default this one alone.

    Raises:
        DataError: there are no pictures, or the folder holds another run; the message names what differs.
    """

    def __init__(self, run: Run, *, ranks: Ranks | None = None, show_progress: bool = True) -> None:
        if not run.train:
            raise DataError(f"{run.name}: there are no training pictures")
        self.run = run
        self.ranks = ranks or Ranks(run.device)
        self.show_progress = show_progress and self.ranks.is_first
        torch.manual_seed(run.recipe.seed)
        self.network = _network(run, self.ranks)
        self.average = MovingAverage(self.network, run.recipe.ema_decay)
        self.optimizer = build_optimizer(self.network, run.recipe)
        self.dataset = CanvasDataset(
            run.train, run.config.input, run.recipe.augmentation, run.recipe.seed, run.objective.classes
        )
        self.batches = CanvasBatchSampler(
            self.dataset, run.recipe.batch_size, run.recipe.seed, self.ranks.rank, self.ranks.count
        )
        self.steps = math.ceil(self.batches.in_epoch / run.recipe.accumulate) * run.recipe.epochs
        self.schedule = Schedule(
            run.recipe.learning_rate, run.recipe.warmup(self.steps), self.steps, run.recipe.schedule
        )
        self.settings = settings_of(run, self.ranks.count)
        self.progress = Progress()
        self._saved = time.monotonic()  # or begun
        run.folder.mkdir(parents=True, exist_ok=True)
        if (run.folder / STATE_FILE).exists():
            self._resume()
        if not self.ranks.agree(self.progress.total):
            raise DataError(f"{run.folder}: not all processes see the same {STATE_FILE} in it")
        self.clock = SessionClock(self.progress)
        self.stop = StopRequest(insistent=self.ranks.count == 1)
        self.lesson = self.ranks.share(Lesson(self.network, run.objective, run.recipe))

    def train(self) -> Progress:
        """Train to the end of the recipe.

        Asked to stop by SIGINT (Ctrl-C) or SIGTERM, it ends the step, saves its state and raises KeyboardInterrupt.

        Raises:
            DataError: a picture cannot be read. The steps that were made are saved, unless other processes train, too.
            DeviceOutOfMemory: the memory does not hold a step; the last saved state is sound.
            FloatingPointError: a loss or a gradient is no longer finite; the same holds.
        """
        run, first = self.run, self.ranks.is_first
        with (
            self.stop,
            told_what_would_fit(run.recipe.batch_size, run.recipe.accumulate),
            ProgressBar(self.progress, epochs=run.recipe.epochs, steps=self.steps, shown=self.show_progress) as bar,
            EventLog(run.folder if run.tensorboard and first else None, self.progress) as events,
            Loading(self.dataset, self.batches, workers=run.workers, pinned=run.device.type == "cuda") as loading,
        ):
            while self.progress.epoch < run.recipe.epochs:
                self._epoch(loading, bar, events)
                self._finish_epoch(events)
        return self.progress

    def _epoch(self, loading: Loading, bar: ProgressBar, events: EventLog) -> None:
        self.lesson.train()
        self.batches.epoch, self.batches.start = self.progress.epoch, self.progress.batch
        with closing(loading.epoch()) as batches:
            while self.progress.batch < self.batches.in_epoch:
                tally, stopped = self._step(batches)
                bar.step(self.progress)
                events.step(self.progress.total, tally, self._learning_rate)
                if stopped or time.monotonic() - self._saved > _SAVE_AFTER_S:
                    self._save_state()
                if stopped:
                    self.ranks.wait()  # until the first has saved: torchrun ends all as soon as one has ended
                    raise KeyboardInterrupt

    def _step(self, batches: Iterator[Batch]) -> tuple[Tally, bool]:
        """One step of the optimizer; its figures over all processes, and whether one of them was asked to stop."""
        started = time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule(self.progress.total)
        self.optimizer.zero_grad(set_to_none=True)
        begun = self.progress.batch
        try:
            judged = self._backward(batches)
        except DataError:
            # What was accumulated is taken again, and batch norms' running averages will have seen it twice.
            self.progress.batch = begun
            if self.progress.total > 0:  # or there is nothing to lose, and a folder without a state may start anew
                self._save_state()
            raise
        own, norm = self._read_back(judged, self._clip())
        tally, stopped = self._gathered(own)
        if not tally.is_finite:
            loss = sum(tally.losses.values())
            raise FloatingPointError(f"the loss is {loss} at step {self.progress.total}; try a lower learning rate")
        self._check_gradient(norm)
        self.optimizer.step()
        self.average.update(self.network)
        self.progress.total += 1
        tally.seconds = time.monotonic() - started
        self.progress.tally.add(tally)
        return tally, stopped

    def _backward(self, batches: Iterator[Batch]) -> list[_Judged]:
        """The mean gradient of the next ``accumulate`` batches, or of the fewer that an epoch ends with."""
        size = min(self.run.recipe.accumulate, self.batches.in_epoch - self.progress.batch)
        judged = []
        for left in reversed(range(size)):
            batch = next(batches)
            started = time.monotonic()
            with self.ranks.apart(self.lesson) if left else nullcontext():
                losses = self._losses(batch.to(self.run.device))
                (torch.stack(list(losses.values())).sum() / size).backward()  # type: ignore[no-untyped-call]
            judged.append((len(batch.pixels), {name: loss.detach() for name, loss in losses.items()}))
            self.progress.batch += 1
            self.progress.seconds += time.monotonic() - started
        return judged

    def _clip(self) -> Tensor:
        """Shorten the gradient to the longest that the recipe allows; how long it was."""
        return nn.utils.clip_grad_norm_(self.network.parameters(), self.run.recipe.clip_norm)

    def _read_back(self, judged: list[_Judged], norm: Tensor) -> tuple[Tally, float]:
        """The batches' losses and the gradient's norm, at one go: a host that waits gives a GPU nothing to do."""
        started = time.monotonic()
        values = iter(torch.stack([*(loss for _, losses in judged for loss in losses.values()), norm]).tolist())
        tally = Tally()
        for pictures, losses in judged:
            tally.add(Tally(1, pictures, losses={name: next(values) for name in losses}))
        self.progress.seconds += time.monotonic() - started  # until here a GPU is at the passes
        return tally, next(values)

    def _check_gradient(self, norm: float) -> None:
        """By its norm.

        Raises:
            FloatingPointError: it is not finite, which a finite loss does not rule out; no weight has seen it.
        """
        # The norm alone may be too large for its format: then the gradient is shortened to nothing, which does no harm.
        if math.isfinite(norm):
            return
        if any(p.grad is not None and not p.grad.isfinite().all() for p in self.network.parameters()):
            raise FloatingPointError(
                f"the gradient is not finite at step {self.progress.total}; try a lower learning rate"
            )

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        # Seeded by the batch's number in the run, so that a resumed run samples the anchors that an unbroken one would.
        taken = self.progress.epoch * self.batches.in_epoch + self.progress.batch
        number = taken * self.ranks.count + self.ranks.rank
        generator = torch.Generator(self.run.device).manual_seed(self.run.recipe.seed * 1_000_003 + number)
        losses: dict[str, Tensor] = self.lesson(batch, generator)
        return losses

    def _gathered(self, own: Tally) -> tuple[Tally, bool]:
        """The sums over all processes, and whether any of them was asked to stop, which all must learn at one step."""
        stopped, batches, pictures, *losses = self.ranks.sums(
            [self.stop.made, own.batches, own.pictures, *own.losses.values()]
        )
        return Tally(batches, pictures, losses=dict(zip(own.losses, losses, strict=True))), stopped > 0

    def _finish_epoch(self, events: EventLog) -> None:
        """Measure, log and save what the epoch has come to; the other processes wait."""
        self._save_state()  # to measure may take long, and a run that is stopped meanwhile goes on from here
        tally, self.progress.tally = self.progress.tally, Tally()
        self.progress.epoch, self.progress.batch = self.progress.epoch + 1, 0
        if self.ranks.is_first:
            figures = self._measure()
            self._log(tally, figures)
            events.epoch(self.progress, self._learning_rate, figures)
            keep(self.run, self.progress, self._checkpoint(figures), self.average.values)
            self._save_state()
        self.ranks.wait()

    def _measure(self) -> dict[str, float]:
        if not self.run.validation:
            return {}
        network = build_network(self.run.config)
        network.load_state_dict(self.run.objective.proposal_weights(self.average.values))
        with kept_arithmetic(), self.stop.at_once():
            predictor = Predictor.of(network, self._checkpoint({}), self.run.device)
            # No more at once than a step takes, since memory that holds a step holds them.
            size = min(_MEASURED_AT_ONCE, self.run.recipe.batch_size)
            return evaluate(predictor, self.run.validation, batch_size=size, progress=self.show_progress).to_dict()

    def _checkpoint(self, figures: dict[str, float]) -> Checkpoint:
        self.clock.tick()
        return run_checkpoint(self.run, self.ranks.count, self.progress, self.average.values, figures)

    def _log(self, tally: Tally, figures: dict[str, float]) -> None:
        row = {"epoch": self.progress.epoch, "steps": self.progress.total, "learning_rate": self._learning_rate}
        row |= {"seconds": tally.seconds, "pictures_per_second": tally.rate, **tally.means, **figures}
        write_epoch(self.run.folder / LOG_FILE, row)
        shown = tally.means | {name: figures[name] for name in _SHOWN if name in figures}
        log.info("epoch %d: %s", self.progress.epoch, " ".join(f"{name} {value:.4f}" for name, value in shown.items()))

    @property
    def _learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def _save_state(self) -> None:
        """The first process writes it, for all: they share the weights, and the batch norms' statistics are its own."""
        self._saved = time.monotonic()
        if not self.ranks.is_first:
            return
        self.clock.tick()
        parts = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": self.progress.to_dict(),
        }
        save_state(self.run.folder / STATE_FILE, self.settings, parts)

    def _resume(self) -> None:
        path = self.run.folder / STATE_FILE
        state = load_state(path, self.settings)
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.progress = Progress.from_dict(state["progress"])
        except Exception as error:  # our own settings, and yet foreign content: again in many ways
            raise unusable(path, error) from error
        if self.progress.epoch == self.run.recipe.epochs:
            log.info("the run is finished; for more, train --from its last checkpoint into another folder")
        else:
            log.info("resumed at epoch %d, step %d", self.progress.epoch + 1, self.progress.total)


def _network(run: Run, ranks: Ranks) -> nn.Module:
    network = run.objective.build(run.config)
    if run.recipe.sync_norm:
        if ranks.count == 1 or run.device.type != "cuda":
            raise ConfigError("recipe: sync_norm is for several processes with a CUDA device each")
        _check_norms(network, run, "sync_norm")
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    if run.recipe.freeze_norms:
        _check_norms(network, run, "freeze_norms")
        freeze_norms(network, run.start or {})
    if run.start is not None:
        network.load_state_dict({**network.state_dict(), **run.start})
    return network.to(run.device).to(memory_format=torch.channels_last)


def _check_norms(network: nn.Module, run: Run, option: str) -> None:
    """Norms that are frozen by the architecture are no `nn.BatchNorm2d`."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        raise ConfigError(
            f"recipe: {option} is for batch norms that learn their statistics, and this {run.config.architecture} has "
            "none"
        )
