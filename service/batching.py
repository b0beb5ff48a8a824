"""Pictures that wait, to batches of one canvas, to each caller his own answer.

An idle device takes a lone picture at once. While all its lanes are busy pictures gather, and the next batch takes what
waits when one falls free: the oldest picture's canvas first, so that none starves.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from model.errors import DeviceOutOfMemory
from model.imaging.canvas import InputRule
from model.structures import PixelArray, Placement, Proposals, Selection
from service.admission import refuse_in_vain
from service.engine import Engine, LoadedModel
from service.errors import DeadlineExceeded, DeviceMemoryExceeded, Draining, EngineFailed, InternalError
from service.pace import Pace

_log = logging.getLogger("service.batching")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large a batch may become; a lone picture always passes."""

    pictures: int
    pixels: int

    def fits(self, pictures: int, pixels: int) -> bool:
        """Whether so many pictures of so many canvas pixels in all are one batch."""
        return pictures == 1 or (pictures <= self.pictures and pixels <= self.pixels)

    def largest_batch(self, rule: InputRule) -> int:
        """Most pictures in a batch of the rule's largest canvas."""
        return max(1, min(self.pictures, self.pixels // max(canvas.pixels for canvas in rule.canvases)))

    def alike(self, rule: InputRule) -> "BatchLimits":
        """The limits by which no canvas has larger batches than the rule's largest one."""
        return replace(self, pictures=self.largest_batch(rule))


@dataclass(frozen=True, slots=True)
class Inference:
    """One picture's proposals and what it took."""

    proposals: Proposals
    queue_ms: float
    inference_ms: float
    batch_size: int


@dataclass(eq=False, slots=True)
class Entry:
    """A picture that waits. ``deadline`` is on the event loop's clock; a done ``future`` has no caller any more."""

    pixels: PixelArray
    placement: Placement
    selection: Selection
    deadline: float
    future: "asyncio.Future[Inference]"
    enqueued_at: float = field(default_factory=time.perf_counter)


class Batcher:
    """One loaded model's queue.

    ``room``: for how many decoded pictures; the others wait outside, as they were uploaded. ``sharing``: the queues of
    all models on one engine, this one among them as soon as it is made.
    """

    def __init__(
        self,
        model: LoadedModel,
        engine: Engine,
        limits: BatchLimits,
        *,
        room: int,
        sharing: "list[Batcher] | None" = None,
    ) -> None:
        self.model = model
        self._sharing = [] if sharing is None else sharing
        self._sharing.append(self)
        self._room = asyncio.Semaphore(room)
        self._outside = 0
        self._engine = engine
        self._limits = limits
        self._waiting: list[Entry] = []
        self._wake = asyncio.Event()
        self._closed = False
        self._pace = Pace(lanes=model.lanes, batch=limits.pictures)
        self._running: dict[asyncio.Task[None], Sequence[Entry]] = {}
        self._task = asyncio.create_task(self._work(), name=f"batching {model.name}")

    @property
    def waiting(self) -> int:
        """How many decoded pictures wait for the device."""
        return len(self._waiting)

    @property
    def pending(self) -> int:
        """How many pictures wait that someone waits for, outside as well."""
        return sum(not entry.future.done() for entry in self._waiting) + self._outside

    @asynccontextmanager
    async def place(self, deadline: float) -> AsyncIterator[None]:
        """Hold a place for a picture that is yet to be decoded, until it is answered.

        Raises:
            Overloaded: the deadline comes before its turn.
        """
        self._check_in_time(deadline, outside=self._outside)
        self._outside += 1
        try:
            await self._room.acquire()
        finally:
            self._outside -= 1
        try:
            yield
        finally:
            self._room.release()

    async def propose(
        self, pixels: PixelArray, placement: Placement, selection: Selection, deadline: float
    ) -> Inference:
        """Wait for the device and return this picture's proposals; cancel it, and the device never sees the picture.

        Raises:
            ServiceError: the queue is longer than the deadline allows, the deadline passed in it, or the device or the
                model failed.
        """
        if self._closed:
            raise Draining
        self._check_in_time(deadline, outside=0)  # they come after it
        entry = Entry(pixels, placement, selection, deadline, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._wake.set()
        return await entry.future

    def _check_in_time(self, deadline: float, *, outside: int) -> None:
        """``outside``: how many of those without a place come before the one that asks."""
        self._waiting = _alive(self._waiting)
        if before := len(self._waiting) + outside:
            refuse_in_vain(self._seconds_until_done(before + 1), deadline)

    def _seconds_until_done(self, pictures: int) -> float:
        """How long so many of ours take: the models' batches take turns, as long as each has some."""
        turns = self._pace.batches(pictures)
        others = (queue for queue in self._sharing if queue is not self)
        theirs = sum(queue._pace.seconds_for(min(turns, queue._pace.batches(queue.pending))) for queue in others)
        return self._pace.seconds_for(turns) + theirs

    async def close(self) -> None:
        """End, and refuse what still waits."""
        self._closed = True
        unanswered = [entry for batch in self._running.values() for entry in batch] + self._waiting
        ending = [self._task, *self._running]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        for entry in unanswered:
            _fail(entry, Draining())
        self._waiting.clear()

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            # The batch is made only once a lane is ours: models share them, and who comes meanwhile comes along.
            await self._engine.turn.acquire()
            batch = self._take()
            task = asyncio.create_task(self._run(batch, alone=not self._waiting))
            self._running[task] = batch
            task.add_done_callback(self._end_turn)

    async def _run(self, batch: Sequence[Entry], *, alone: bool) -> None:
        try:
            await self._predict(batch, alone=alone)
        except Exception as error:  # one bad batch must not end the queue
            _log.exception("a batch failed outside the model")
            for entry in batch:
                _fail(entry, error)

    def _end_turn(self, task: "asyncio.Task[None]") -> None:
        self._running.pop(task)
        self._engine.turn.release()

    def _take(self) -> list[Entry]:
        """The next batch, oldest first; everything without a caller or past its deadline is dropped."""
        self._waiting = _alive(self._waiting)
        batch: list[Entry] = []
        pixels = 0
        for entry in self._waiting:
            canvas = entry.placement.canvas
            if canvas != self._waiting[0].placement.canvas:
                continue
            pixels += canvas.pixels
            if not self._limits.fits(len(batch) + 1, pixels):
                break
            batch.append(entry)
        taken = set(map(id, batch))
        self._waiting = [entry for entry in self._waiting if id(entry) not in taken]
        if not self._waiting:
            self._wake.clear()
        return batch

    async def _predict(self, batch: Sequence[Entry], *, alone: bool = False) -> None:
        """Answer every entry. A batch too large for the device is halved; one that fails is tried one by one."""
        batch = _alive(batch)
        if not batch:
            return
        started = time.perf_counter()
        try:
            proposals = await self._proposals(batch, alone=alone)
        except DeviceOutOfMemory as error:
            await self._predict_parts(batch, (len(batch) + 1) // 2, error)
        except EngineFailed as error:
            for entry in batch:
                _fail(entry, error)
        except Exception as error:
            await self._predict_parts(batch, 1, error)
        else:
            seconds = time.perf_counter() - started
            self._pace.measured(seconds)
            _answer(batch, proposals, started, seconds * 1000)

    async def _predict_parts(self, batch: Sequence[Entry], size: int, error: Exception) -> None:
        if len(batch) == 1:
            _log.error("a picture failed alone", exc_info=error, extra={"model": self.model.name})
            _fail(batch[0], error)
            return
        _log.warning("a batch of %d failed, trying parts of %d: %s", len(batch), size, error)
        for start in range(0, len(batch), size):
            await self._predict(batch[start : start + size])

    async def _proposals(self, batch: Sequence[Entry], *, alone: bool) -> list[Proposals]:
        proposals = await self._engine.predict(
            self.model.name,
            [entry.pixels for entry in batch],
            [entry.placement for entry in batch],
            [entry.selection for entry in batch],
            alone=alone,
        )
        if len(proposals) != len(batch):
            raise RuntimeError(f"the model answered {len(proposals)} of {len(batch)} pictures")
        return proposals


def _alive(entries: Sequence[Entry]) -> list[Entry]:
    """Those that someone still waits for; the ones past their deadline are told so."""
    now = asyncio.get_running_loop().time()
    for entry in entries:
        if entry.deadline <= now:
            _fail(entry, DeadlineExceeded("the deadline passed in the queue"))
    return [entry for entry in entries if not entry.future.done()]


def _answer(batch: Sequence[Entry], proposals: Sequence[Proposals], started: float, inference_ms: float) -> None:
    for entry, found in zip(batch, proposals, strict=True):
        if not entry.future.done():  # the caller may have gone while the device worked
            queue_ms = (started - entry.enqueued_at) * 1000
            entry.future.set_result(Inference(found, queue_ms, inference_ms, len(batch)))


def _fail(entry: Entry, error: Exception) -> None:
    if entry.future.done():
        return
    if isinstance(error, DeviceOutOfMemory):
        error = DeviceMemoryExceeded("the device's memory cannot hold this picture now")
    elif not isinstance(error, (DeadlineExceeded, Draining, EngineFailed)):
        error = InternalError("the model failed on this picture")
    entry.future.set_exception(error)
