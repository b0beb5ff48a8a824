import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.errors import DeviceOutOfMemory
from model.structures import Canvas, PixelArray, Placement, Selection
from service.batching import Batcher, BatchLimits, Inference
from service.engine import Engine
from service.errors import DeadlineExceeded, DeviceMemoryExceeded, Draining, EngineFailed, InternalError, Overloaded
from service.settings import ModelSource
from tests.service.fakes import PATIENCE_S, TALL, WIDE, FakePredictor, picture, running, size_of, until

pytestmark = pytest.mark.anyio

ROOM = 128
ROOMY = BatchLimits(pictures=8, pixels=10**9)
POISON = 255  # a picture whose every sample is this one fails


@asynccontextmanager
async def batching(fake: FakePredictor, limits: BatchLimits = ROOMY) -> AsyncIterator[Batcher]:
    engine = Engine(lambda path, device: fake)
    engine.start()
    model = await engine.load(ModelSource("m", Path("x")), device="cpu")
    batcher = Batcher(model, engine, limits, room=ROOM)
    try:
        yield batcher
    finally:
        fake.gate.set()
        await batcher.close()
        engine.stop(5)


@asynccontextmanager
async def two_queues(fake: FakePredictor) -> AsyncIterator[tuple[Batcher, Batcher]]:
    """Those of two models on one engine; a picture of either takes two seconds, as far as they know."""
    limits = BatchLimits(pictures=1, pixels=10**9)
    async with batching(fake, limits) as batcher:
        other = Batcher(batcher.model, batcher._engine, limits, room=ROOM, sharing=batcher._sharing)
        for queue in (batcher, other):
            queue._pace.measured(2.0)
        yield batcher, other
        await other.close()


def pixels_of(value: int, canvas: Canvas = WIDE) -> PixelArray:
    return np.full((canvas.height, canvas.width, 3), value, dtype=np.uint8)


def ask(batcher: Batcher, value: int = 0, canvas: Canvas = WIDE, deadline_s: float = 60) -> asyncio.Task[Inference]:
    placement = Placement(size_of(canvas), size_of(canvas), canvas)
    deadline = asyncio.get_running_loop().time() + deadline_s
    return asyncio.create_task(batcher.propose(pixels_of(value, canvas), placement, Selection(5), deadline))


async def hold_the_device(batcher: Batcher, fake: FakePredictor) -> asyncio.Task[Inference]:
    """One picture is inside the predictor, and stays there until the gate opens."""
    seen = len(fake.batches)
    fake.gate.clear()
    first = ask(batcher, 77)
    await until(lambda: len(fake.batches) == seen + 1)
    return first


def poisoned(pixels: PixelArray, error: Exception) -> None:
    if any((one == POISON).all() for one in pixels):
        raise error


async def test_an_idle_device_takes_a_lone_picture_at_once():
    fake = FakePredictor()
    async with batching(fake) as batcher:
        first = await ask(batcher)
        second = await ask(batcher)
        assert fake.batches == [(WIDE, 1), (WIDE, 1)]
        assert first.batch_size == second.batch_size == 1


async def test_what_gathers_while_the_device_is_busy_is_the_next_batch():
    fake = FakePredictor()
    async with batching(fake) as batcher:
        first = await hold_the_device(batcher, fake)
        rest = [ask(batcher, i) for i in range(5)]
        await asyncio.sleep(0)
        fake.gate.set()
        await asyncio.gather(first, *rest)
        assert fake.batches == [(WIDE, 1), (WIDE, 5)]
        assert {task.result().batch_size for task in rest} == {5}
        assert all(task.result().queue_ms > 0 for task in rest)


async def test_each_gets_his_own_answer():
    fake = FakePredictor()
    async with batching(fake) as batcher:
        alone = [(await ask(batcher, i)).proposals.boxes for i in range(8)]
        first = await hold_the_device(batcher, fake)
        rest = [ask(batcher, i) for i in range(8)]
        await asyncio.sleep(0)
        fake.gate.set()
        together = await asyncio.gather(*rest)
        await first
        assert {mine.batch_size for mine in together} == {8}
        for mine, boxes in zip(together, alone, strict=True):
            np.testing.assert_array_equal(mine.proposals.boxes, boxes)


async def test_a_batch_is_one_canvas_and_the_oldest_goes_first():
    fake = FakePredictor()
    async with batching(fake) as batcher:
        first = await hold_the_device(batcher, fake)
        rest = [ask(batcher, i, canvas) for i, canvas in enumerate([TALL, WIDE, WIDE, TALL, WIDE])]
        await asyncio.sleep(0)
        fake.gate.set()
        await asyncio.gather(first, *rest)
        assert fake.batches[1:] == [(TALL, 2), (WIDE, 3)]


@pytest.mark.parametrize(
    "limits", [BatchLimits(pictures=2, pixels=10**9), BatchLimits(pictures=99, pixels=2 * WIDE.pixels)]
)
async def test_batches_are_capped_by_pictures_and_by_pixels(limits):
    fake = FakePredictor()
    async with batching(fake, limits) as batcher:
        first = await hold_the_device(batcher, fake)
        rest = [ask(batcher, i) for i in range(5)]
        await asyncio.sleep(0)
        fake.gate.set()
        await asyncio.gather(first, *rest)
        assert [size for _, size in fake.batches] == [1, 2, 2, 1]


async def test_a_lone_picture_passes_whatever_its_pixels():
    fake = FakePredictor()
    async with batching(fake, BatchLimits(pictures=8, pixels=1)) as batcher:
        assert (await ask(batcher)).batch_size == 1


def test_the_largest_batch_fits_the_largest_canvas():
    rule = FakePredictor().input_rule
    assert BatchLimits(8, 3 * WIDE.pixels).largest_batch(rule) == 3
    assert BatchLimits(8, 1).largest_batch(rule) == 1
    assert BatchLimits(8, 10**9).largest_batch(rule) == 8


async def test_a_caller_that_left_never_reaches_the_device():
    fake = FakePredictor()
    async with batching(fake) as batcher:
        first = await hold_the_device(batcher, fake)
        leaving, staying = ask(batcher, 1), ask(batcher, 2)
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        fake.gate.set()
        await asyncio.gather(first, staying)
        assert fake.batches == [(WIDE, 1), (WIDE, 1)]


async def test_a_caller_that_leaves_while_the_device_works_harms_nobody():
    fake = FakePredictor()
    async with batching(fake) as batcher:
        first = await hold_the_device(batcher, fake)
        pair = [ask(batcher, 1), ask(batcher, 2)]
        await asyncio.sleep(0)
        first.cancel()
        fake.gate.set()
        assert len(await asyncio.gather(*pair)) == 2
        assert (await ask(batcher, 3)).batch_size == 1, "the queue lives on"


async def test_past_its_deadline_a_picture_is_dropped_unseen():
    fake = FakePredictor()
    async with batching(fake) as batcher:
        first = await hold_the_device(batcher, fake)
        late = ask(batcher, 1, deadline_s=-1)
        await asyncio.sleep(0)
        fake.gate.set()
        with pytest.raises(DeadlineExceeded):
            await late
        await first
        assert len(fake.batches) == 1


async def test_out_of_memory_halves_the_batch_until_it_fits():
    fake = FakePredictor()

    def at_most_two(pixels: PixelArray) -> None:
        if len(pixels) > 2:
            raise DeviceOutOfMemory("too much")

    fake.fault = at_most_two
    async with batching(fake) as batcher:
        first = await hold_the_device(batcher, fake)
        rest = [ask(batcher, i) for i in range(8)]
        await asyncio.sleep(0)
        fake.gate.set()
        await asyncio.gather(first, *rest)
        assert [size for _, size in fake.batches] == [1, 8, 4, 2, 2, 4, 2, 2]


async def test_a_picture_that_never_fits_fails_alone():
    fake = FakePredictor()
    fake.fault = lambda pixels: poisoned(pixels, DeviceOutOfMemory("too much"))
    async with batching(fake) as batcher:
        first = await hold_the_device(batcher, fake)
        rest = [ask(batcher, value) for value in (1, POISON, 2)]
        await asyncio.sleep(0)
        fake.gate.set()
        outcomes = await asyncio.gather(first, *rest, return_exceptions=True)
        assert [type(o) for o in outcomes] == [Inference, Inference, DeviceMemoryExceeded, Inference]


async def test_a_bad_picture_fails_alone():
    fake = FakePredictor()
    fake.fault = lambda pixels: poisoned(pixels, ValueError("bad"))
    async with batching(fake) as batcher:
        first = await hold_the_device(batcher, fake)
        rest = [ask(batcher, value) for value in (1, 2, POISON, 3)]
        await asyncio.sleep(0)
        fake.gate.set()
        outcomes = await asyncio.gather(first, *rest, return_exceptions=True)
        assert [type(o) for o in outcomes] == [Inference, Inference, Inference, InternalError, Inference]


async def test_answers_too_few_are_nobodys():
    class Forgetful(FakePredictor):
        def predict(self, *given, **options):
            found = super().predict(*given, **options)
            return found[1:] if len(found) > 1 else found

    fake = Forgetful()
    async with batching(fake) as batcher:
        alone = [(await ask(batcher, i)).proposals.boxes for i in range(3)]
        first = await hold_the_device(batcher, fake)
        rest = [ask(batcher, i) for i in range(3)]
        await asyncio.sleep(0)
        fake.gate.set()
        for mine, boxes in zip(await asyncio.gather(*rest), alone, strict=True):
            np.testing.assert_array_equal(mine.proposals.boxes, boxes, "none but his own, of a picture alone")
        await first


async def test_a_failed_engine_is_told_as_such():
    fake = FakePredictor()

    def end(pixels: PixelArray) -> None:
        raise SystemExit

    fake.fault = end
    async with batching(fake) as batcher:
        for _ in range(2):
            with pytest.raises(EngineFailed):
                await ask(batcher)


async def test_closing_refuses_what_waits_and_what_comes():
    fake = FakePredictor()
    async with batching(fake) as batcher:
        first = await hold_the_device(batcher, fake)
        waiting = ask(batcher, 1)
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.close())
        with pytest.raises(Draining):
            await waiting
        await closing
        with pytest.raises(Draining):
            await ask(batcher, 2)
        first.cancel()


async def test_two_models_take_turns_on_one_device():
    fakes = {"x": FakePredictor(), "y": FakePredictor()}
    engine = Engine(lambda path, device: fakes[str(path)])
    engine.start()
    batchers = []
    for name in fakes:
        model = await engine.load(ModelSource(name, Path(name)), device="cpu")
        batchers.append(Batcher(model, engine, ROOMY, room=ROOM))
    first = await hold_the_device(batchers[0], fakes["x"])
    others = [ask(batchers[1], i) for i in range(2)]
    await asyncio.sleep(0.02)  # time enough to make its batch, if it did so early
    others.append(ask(batchers[1], 2))  # the second model's batch is not made before the device is free
    await asyncio.sleep(0)
    fakes["x"].gate.set()
    await asyncio.gather(first, *others)
    assert fakes["y"].batches == [(WIDE, 3)]
    for batcher in batchers:
        await batcher.close()
    engine.stop(5)


async def test_with_several_lanes_what_waits_is_taken_at_once():
    fake = FakePredictor(lanes=2)
    async with batching(fake, BatchLimits(pictures=1, pixels=10**9)) as batcher:
        fake.gate.clear()
        tasks = [ask(batcher, value) for value in range(3)]
        await until(lambda: len(fake.batches) == 2)
        assert batcher.waiting == 1
        assert fake.alone[1] is False
        fake.gate.set()
        answers = await asyncio.gather(*tasks)
        assert [answer.batch_size for answer in answers] == [1, 1, 1]


async def test_a_lone_picture_has_the_device_to_itself():
    fake = FakePredictor(lanes=2)
    async with batching(fake) as batcher:
        await ask(batcher)
        await ask(batcher)
        assert fake.alone == [True, True]


async def test_who_would_wait_in_vain_is_refused_at_once():
    fake = FakePredictor()
    async with batching(fake, BatchLimits(pictures=1, pixels=10**9)) as batcher:
        batcher._pace.measured(2.0)
        first = await hold_the_device(batcher, fake)
        tasks = [ask(batcher, value, deadline_s=5) for value in range(2)]
        await until(lambda: batcher.waiting == 2)
        with pytest.raises(Overloaded) as caught:
            await ask(batcher, deadline_s=5)
        assert caught.value.retry_after == 6
        assert batcher.waiting == 2
        fake.gate.set()
        await asyncio.gather(first, *tasks)
        await ask(batcher, deadline_s=0.5)  # an idle device takes whatever comes


async def test_other_models_pictures_are_waited_for_as_well():
    fake = FakePredictor()
    async with two_queues(fake) as (batcher, other):
        first = await hold_the_device(batcher, fake)
        theirs = [ask(other, value) for value in range(9)]
        mine = ask(batcher, deadline_s=5)  # the first of ours, and of theirs the first: 4 s
        await until(lambda: (batcher.waiting, other.waiting) == (1, 9))
        with pytest.raises(Overloaded) as caught:
            await ask(batcher, deadline_s=7)
        assert caught.value.retry_after == 8  # two of ours, two of theirs; their others come later
        fake.gate.set()
        await asyncio.gather(first, mine, *theirs)


async def test_who_has_gone_from_another_model_is_not_waited_for():
    fake = FakePredictor()
    async with two_queues(fake) as (batcher, other):
        first = await hold_the_device(batcher, fake)
        theirs = ask(other)
        mine = ask(batcher)
        await until(lambda: (batcher.pending, other.pending) == (1, 1))
        with pytest.raises(Overloaded):
            await ask(batcher, deadline_s=5)
        theirs.cancel()
        await asyncio.gather(theirs, return_exceptions=True)
        last = ask(batcher, deadline_s=5)  # two of ours: 4 s
        await until(lambda: (batcher.pending, other.pending) == (2, 0))
        fake.gate.set()
        await asyncio.gather(first, mine, last)


@asynccontextmanager
async def full(batcher: Batcher, outside: int) -> AsyncIterator[None]:
    """Its only place is taken, and so many wait for it; a picture takes two seconds, as far as it knows."""
    batcher._pace.measured(2.0)
    batcher._room = asyncio.Semaphore(1)
    deadline = asyncio.get_running_loop().time() + 60
    async with batcher.place(deadline):
        waiting = [asyncio.create_task(batcher.place(deadline).__aenter__()) for _ in range(outside)]
        await until(lambda: batcher.pending == outside)
        yield
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_what_has_no_place_yet_is_waited_for_as_well():
    async with batching(FakePredictor(), BatchLimits(pictures=1, pixels=10**9)) as batcher:
        now = asyncio.get_running_loop().time()
        async with full(batcher, outside=1):
            with pytest.raises(Overloaded) as caught:
                async with asyncio.timeout(PATIENCE_S), batcher.place(now + 3):
                    pass
            assert caught.value.retry_after == 4
        assert batcher.pending == 0
        async with batcher.place(now + 60):
            assert batcher._room.locked()


async def test_who_has_a_place_does_not_wait_for_those_without():
    async with batching(FakePredictor(), BatchLimits(pictures=1, pixels=10**9)) as batcher, full(batcher, outside=9):
        await ask(batcher, deadline_s=5)  # the device is idle, and they come after this one


async def test_who_has_gone_is_not_waited_for():
    fake = FakePredictor()
    async with batching(fake, BatchLimits(pictures=1, pixels=10**9)) as batcher:
        batcher._pace.measured(2.0)
        first = await hold_the_device(batcher, fake)
        gone = [ask(batcher, value) for value in range(5)]
        await until(lambda: batcher.waiting == 5)
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        last = ask(batcher, deadline_s=5)
        await until(lambda: batcher.waiting == 1)
        fake.gate.set()
        await asyncio.gather(first, last)


async def test_closing_tells_those_in_hand_too():
    fake = FakePredictor(lanes=2)
    async with batching(fake, BatchLimits(pictures=1, pixels=10**9)) as batcher:
        fake.gate.clear()
        tasks = [ask(batcher, value) for value in range(3)]
        await until(lambda: len(fake.batches) == 2)
        await batcher.close()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Draining] * 3


@pytest.mark.parametrize("limit", [{"max_batch": 2}, {"max_batch_pixels": 2 * WIDE.pixels}])
async def test_batches_are_as_large_as_the_settings_allow(limit: dict[str, int]):
    fake = FakePredictor()
    async with running(fake, **limit) as service:
        fake.gate.clear()
        first = asyncio.create_task(service.propose(picture(0)))
        await until(lambda: len(fake.batches) == 1)
        rest = [asyncio.create_task(service.propose(picture(seed))) for seed in range(1, 5)]
        await until(lambda: service.service.batcher(None).waiting == 4)
        fake.gate.set()
        answers = await asyncio.gather(first, *rest)
    assert {answer.status_code for answer in answers} == {200}
    assert [size for _, size in fake.batches] == [1, 2, 2]


@pytest.mark.parametrize(("device", "warmed", "sizes"), [("cpu", {1}, [1, 4]), ("cuda", {1, 2, 3}, [1, 3, 1])])
async def test_on_a_gpu_no_batch_is_larger_than_what_was_warmed(device: str, warmed: set[int], sizes: list[int]):
    """Of the larger canvas three pictures are a batch, of the one that these come on four."""
    large, fake = Canvas(64, 64), FakePredictor()
    fake.device, fake.input_rule = device, replace(fake.input_rule, canvases=(WIDE, large))
    async with running(fake, max_batch=8, max_batch_pixels=3 * large.pixels) as service:
        assert set(fake.warmed) == {(size,) for size in warmed}
        fake.gate.clear()
        asked = [asyncio.create_task(service.propose(picture(0)))]
        await until(lambda: len(fake.batches) == 1)
        asked += [asyncio.create_task(service.propose(picture(seed))) for seed in range(1, 5)]
        await until(lambda: service.service.batcher(None).waiting == 4)
        fake.gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
    assert fake.batches == [(WIDE, size) for size in sizes]
