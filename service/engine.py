"""The inference threads: they alone load, warm up and call the predictors.

The first loads them all, and calls them when nothing else runs: on a CPU a network that is built in one thread and run
in another on all cores is much slower. A predictor says how many calls at once pay on its device; so many lanes, each a
thread, take them. On a GPU that is one: two threads on one device only get in each other's way.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from model.errors import DeviceLost, DeviceOutOfMemory
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

    @property
    def runtime(self) -> str:
        """What computes the network and in which format."""

    @property
    def lanes(self) -> int:
        """How many threads may call `predict` at once."""

    @property
    def usual_batch(self) -> int:
        """Most pictures that are worth one call."""

    @property
    def keeps_its_thread(self) -> bool:
        """Whether its lone calls, the first ones too, should come from the thread that loaded it."""

    @property
    def draws(self) -> bool:
        """Whether it lays pictures on their canvas itself, by `predict_undrawn`."""

    def sizes_to_warm(self, largest: int) -> tuple[int, ...]:
        """The batch sizes to warm where batches of up to ``largest`` pictures are going to come, smallest first."""

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        """Run every canvas at these batch sizes once."""

    def predict(
        self, pixels: PixelArray, placements: Sequence[Placement], selections: Sequence[Selection], *, alone: bool
    ) -> list[Proposals]:
        """The proposals of N pictures on one canvas; ``alone``: no other thread is calling."""

    def predict_undrawn(
        self,
        pictures: Sequence[PixelArray],
        placements: Sequence[Placement],
        selections: Sequence[Selection],
        *,
        alone: bool,
    ) -> list[Proposals]:
        """The same from pictures that are yet to be resized."""


LoadPredictor = Callable[[Path, str], Predictor]
RunOnThread = Callable[[Callable[[], Any]], Awaitable[Any]]  # `Engine.run`


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A loaded model's properties; the predictor itself stays with the inference thread."""

    name: str
    info: ModelInfo
    input_rule: InputRule
    max_top_n: int
    device: str
    runtime: str
    usual_batch: int
    lanes: int
    draws: bool

    @classmethod
    def of(cls, name: str, predictor: Predictor) -> "LoadedModel":
        """What is known of a predictor, under the name that callers use."""
        return cls(
            name,
            predictor.info,
            predictor.input_rule,
            predictor.max_top_n,
            predictor.device,
            predictor.runtime,
            predictor.usual_batch,
            predictor.lanes,
            predictor.draws,
        )


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"

    def deliver(self, result: Any, error: BaseException | None) -> None:
        """Hand the outcome to the event loop."""
        if isinstance(error, StopIteration):  # which no future takes
            error, cause = RuntimeError("an iterator ended too early"), error
            error.__cause__ = cause
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile, and its callers with it
            self.loop.call_soon_threadsafe(_resolve, self.future, result, error)


class Engine:
    """Used from one event loop; ``turn`` is the lanes': whoever holds one of them may call `predict`."""

    def __init__(self, load: LoadPredictor) -> None:
        self._load_predictor = load
        self._predictors: dict[str, Predictor] = {}  # filled by the first lane alone, before the name is known outside
        self._failure: str | None = None
        self._lanes = [_Lane("inference", self._lost)]
        self.turn = asyncio.Semaphore(1)

    @property
    def alive(self) -> bool:
        """The threads run and their device answers."""
        return self._failure is None and all(lane.alive for lane in self._lanes)

    @property
    def running(self) -> bool:
        """Some thread has not ended, be it deep in a load or on a device that hangs."""
        return any(lane.alive for lane in self._lanes)

    def start(self) -> None:
        """Start the first thread; the others come with the first predictor that has a use for them."""
        self._lanes[0].start()

    def stop(self, patience_s: float) -> None:
        """Let the threads finish their jobs and end, and wait so long for all of them."""
        for lane in self._lanes:
            lane.stop()
        end = time.monotonic() + patience_s
        for lane in self._lanes:
            lane.join(max(0.0, end - time.monotonic()))

    async def load(self, source: ModelSource, *, device: str) -> LoadedModel:
        """Load a checkpoint.

        Raises:
            ModelError: the checkpoint or the device cannot be used.
        """

        def work() -> Predictor:
            predictor = self._load_predictor(source.path, device)
            self._predictors[source.name] = predictor
            return predictor

        predictor: Predictor = await self._run(self._lanes[0], work)
        self._open_lanes(predictor.lanes)
        return LoadedModel.of(source.name, predictor)

    async def run(self, work: Callable[[], T]) -> T:
        """Do something else on the first thread, for which a process that is told to leave need not wait (`running`).

        Raises:
            EngineFailed: the thread is gone.
            Exception: whatever the work failed with.
        """
        return await self._run(self._lanes[0], work)

    async def warm_up(self, name: str, largest_batch: int) -> None:
        """Run every canvas of a loaded model once, so that no caller pays for a shape's first time.

        The first lane may meanwhile load the next model, if this one does not ask for that thread.
        """
        predictor = self._predictors[name]
        lane = self._lanes[0] if predictor.keeps_its_thread else min(self._lanes[::-1], key=lambda lane: lane.waiting)
        await self._run(lane, lambda: _warm_up(predictor, largest_batch))

    async def settle(self, patience_s: float) -> None:
        """Wait, at most so long, until the threads are done with what they were given, whoever still waits for it."""
        loop = asyncio.get_running_loop()
        last = []
        for lane in self._lanes:
            if lane.alive:
                last.append(loop.create_future())
                lane.put(_Job(lambda: None, loop, last[-1]))
        if last:
            await asyncio.wait(last, timeout=patience_s)

    async def predict(
        self,
        name: str,
        pixels: Sequence[PixelArray],
        placements: Sequence[Placement],
        selections: Sequence[Selection],
        *,
        alone: bool = False,
    ) -> list[Proposals]:
        """The proposals of N pictures on one canvas, from the model of that name, drawn unless it ``draws`` itself.

        ``alone``: nothing else waits; where no other lane is busy either, the whole device takes up these.

        Raises:
            DeviceOutOfMemory: a smaller batch may pass.
            EngineFailed: a thread or its device is gone.
        """
        lane = min(self._lanes, key=lambda lane: lane.waiting)  # the first, which loaded them, wherever it is free
        alone = alone and not any(lane.waiting for lane in self._lanes)

        def work() -> list[Proposals]:
            predictor = self._predictors[name]
            if predictor.draws:
                return predictor.predict_undrawn(pixels, placements, selections, alone=alone)
            together = pixels[0][None] if len(pixels) == 1 else np.stack(pixels)  # of one no copy
            return predictor.predict(together, placements, selections, alone=alone)

        try:
            found: list[Proposals] = await self._run(lane, work)
        except DeviceLost as error:
            raise EngineFailed("the device is gone") from error
        return found

    def _open_lanes(self, wanted: int) -> None:
        while len(self._lanes) < wanted:
            lane = _Lane(f"inference {len(self._lanes) + 1}", self._lost)
            lane.start()
            self._lanes.append(lane)
            self.turn.release()

    async def _run(self, lane: "_Lane", work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future())
        lane.put(job)
        # After the put: a thread that ends either still finds the job and fails it, or is seen to have ended here.
        if not self.alive:
            job.future.cancel()
            raise EngineFailed(self._failure or "an inference thread does not run")
        lane.waiting += 1
        try:
            result: T = await job.future
        finally:
            lane.waiting -= 1
        return result

    def _lost(self, failure: str) -> None:
        """A lane has ended: the device has gone, and no later job can do better."""
        self._failure = failure


class _Lane:
    """A thread and the jobs that wait for it."""

    def __init__(self, name: str, lost: Callable[[str], None]) -> None:
        self.waiting = 0  # jobs given to it and not yet done
        self._lost = lost
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # A daemon: a process that has been told to exit must not wait for a model that is still being loaded.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.start, self.join = self._thread.start, self._thread.join

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def put(self, job: _Job) -> None:
        self._jobs.put(job)

    def stop(self) -> None:
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job.deliver(job.work(), None)
            except DeviceLost as error:
                self._fail(job, error, told=error)
                return
            except Exception as error:
                job.deliver(None, error)
            except BaseException as error:
                self._fail(job, error, told=EngineFailed("the inference thread has ended"))
                return
            del job  # or its pictures and their answer would be kept until the next one comes

    def _fail(self, job: _Job, error: BaseException, told: Exception) -> None:
        failure = "an inference thread has ended or its device is gone"
        self._lost(failure)
        _log.critical("the inference thread ends", exc_info=error)
        job.deliver(None, told)
        while not self._jobs.empty():
            if (waiting := self._jobs.get()) is not None:
                waiting.deliver(None, EngineFailed(failure))


def _warm_up(predictor: Predictor, largest_batch: int) -> None:
    smallest, *larger = predictor.sizes_to_warm(largest_batch)
    predictor.warm_up((smallest,))
    for size in reversed(larger):  # what is recorded on a GPU uses the memory of what was recorded before
        try:
            predictor.warm_up((size,))
        except DeviceOutOfMemory as error:
            _log.warning("a batch of %d does not fit the device; such batches will be split: %s", size, error)


def _resolve(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():  # whoever waited has gone
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
