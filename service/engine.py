"""The inference thread: it alone loads, warms up and calls the predictors.

One dedicated thread per device, because a network that is built in one thread and run in another is much slower on
a CPU, and because two threads on one device only get in each other's way.
"""

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from model.errors import DeviceError, DeviceOutOfMemory
from model.imaging.canvas import InputRule
from model.structures import ModelInfo, PixelArray, Placement, Proposals, Selection
from service.errors import EngineFailed
from service.settings import ModelSource

_log = logging.getLogger("service.engine")

T = TypeVar("T")


class Predictor(Protocol):
    """What the service needs of a loaded model; ``model.predictor.Predictor`` is one."""

    @property
    def info(self) -> ModelInfo:
        """What the checkpoint says of itself."""

    @property
    def input_rule(self) -> InputRule:
        """How pictures come to their canvas."""

    @property
    def max_top_n(self) -> int:
        """Most proposals that it returns."""

    @property
    def device(self) -> str:
        """Where it runs."""

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        """Run every canvas at these batch sizes once."""

    def predict(
        self, pixels: PixelArray, placements: Sequence[Placement], selections: Sequence[Selection]
    ) -> list[Proposals]:
        """The proposals of N pictures on one canvas."""


LoadPredictor = Callable[[Path, str], Predictor]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A loaded model's properties; the predictor itself stays with the inference thread."""

    name: str
    info: ModelInfo
    input_rule: InputRule
    max_top_n: int
    device: str


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"

    def deliver(self, result: Any, error: BaseException | None) -> None:
        """Hand the outcome to the event loop."""
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile, and its callers with it
            self.loop.call_soon_threadsafe(_resolve, self.future, result, error)


class Engine:
    """Used from one event loop; ``turn`` is the device's: whoever holds it may call `predict`."""

    def __init__(self, load: LoadPredictor) -> None:
        self._load_predictor = load
        self._predictors: dict[str, Predictor] = {}  # touched by the inference thread alone
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._failure: str | None = None
        # A daemon: a process that has been told to exit must not wait for a model that is still being loaded.
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self.turn = asyncio.Lock()

    @property
    def alive(self) -> bool:
        """The thread runs and its device answers."""
        return self._thread.is_alive() and self._failure is None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, patience_s: float) -> None:
        """Let the thread finish its job and end, and wait so long for it."""
        self._jobs.put(None)
        self._thread.join(patience_s)

    async def load(self, source: ModelSource, *, device: str, largest_batch: Callable[[InputRule], int]) -> LoadedModel:
        """Load a checkpoint and run every canvas once, so that no caller pays for a shape's first time.

        Raises:
            ModelError: the checkpoint or the device cannot be used.
        """

        def work() -> LoadedModel:
            predictor = self._load_predictor(source.path, device)
            _warm_up(predictor, largest_batch(predictor.input_rule))
            self._predictors[source.name] = predictor
            return LoadedModel(source.name, predictor.info, predictor.input_rule, predictor.max_top_n, predictor.device)

        return await self._run(work)

    async def predict(
        self,
        name: str,
        pixels: Sequence[PixelArray],
        placements: Sequence[Placement],
        selections: Sequence[Selection],
    ) -> list[Proposals]:
        """The proposals of N pictures on one canvas, from the model of that name.

        Raises:
            DeviceOutOfMemory: a smaller batch may pass.
            EngineFailed: the thread or its device is gone.
        """
        try:
            return await self._run(lambda: self._predictors[name].predict(np.stack(pixels), placements, selections))
        except DeviceError as error:
            raise EngineFailed("the device is gone") from error

    async def _run(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future())
        self._jobs.put(job)
        # After the put: a thread that ends either still finds the job and fails it, or is seen to have ended here.
        if not self.alive:
            job.future.cancel()
            raise EngineFailed(self._failure or "the inference thread does not run")
        result: T = await job.future
        return result

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job.deliver(job.work(), None)
            except DeviceError as error:  # the device has gone: no later job can do better
                self._fail(job, error, told=error)
                return
            except Exception as error:
                job.deliver(None, error)
            except BaseException as error:
                self._fail(job, error, told=EngineFailed("the inference thread has ended"))
                return

    def _fail(self, job: _Job, error: BaseException, told: Exception) -> None:
        self._failure = "the inference thread has ended or its device is gone"
        _log.critical("the inference thread ends", exc_info=error)
        job.deliver(None, told)
        while not self._jobs.empty():
            if (waiting := self._jobs.get()) is not None:
                waiting.deliver(None, EngineFailed(self._failure))


def _warm_up(predictor: Predictor, largest_batch: int) -> None:
    predictor.warm_up((1,))
    if largest_batch > 1 and predictor.device != "cpu":  # a CPU gains nothing from more, and would take long
        try:
            predictor.warm_up((largest_batch,))
        except DeviceOutOfMemory as error:
            _log.warning("a full batch does not fit the device; batches will be split: %s", error)


def _resolve(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():  # whoever waited has gone
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
