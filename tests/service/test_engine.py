import asyncio
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from model.errors import CheckpointError, DeviceError, DeviceLost, DeviceOutOfMemory
from model.structures import PixelArray, Placement, Selection
from service.engine import Engine
from service.errors import EngineFailed
from service.settings import ModelSource
from tests.service.fakes import PATIENCE_S, WIDE, FakePredictor, size_of, until

pytestmark = pytest.mark.anyio

SOURCE = ModelSource("general", Path("x"))
PLACEMENT = Placement(size_of(WIDE), size_of(WIDE), WIDE)


def started(fake: FakePredictor) -> Engine:
    engine = Engine(lambda path, device: fake)
    engine.start()
    return engine


async def load(engine: Engine, source: ModelSource = SOURCE) -> None:
    await engine.load(source, device="cpu")
    await engine.warm_up(source.name, 4)


async def predict(engine: Engine, *, alone: bool = False) -> int:
    blank = np.zeros((WIDE.height, WIDE.width, 3), dtype=np.uint8)
    return len(await engine.predict("general", [blank], [PLACEMENT], [Selection()], alone=alone))


async def test_one_thread_loads_warms_and_predicts_for_all_models():
    one, other = FakePredictor(), FakePredictor()
    engine = Engine(lambda path, device: one if path == Path("x") else other)
    engine.start()
    await load(engine)
    await load(engine, ModelSource("other", Path("y")))
    await predict(engine)
    assert one.threads == other.threads == {"inference"}
    engine.stop(5)
    assert not engine.alive


async def test_the_sizes_that_a_predictor_asks_for_are_warmed():
    fake = FakePredictor()
    engine = started(fake)
    await load(engine)
    assert fake.warmed == [(1,)]
    fake.device = "cuda"
    await load(engine)
    assert fake.warmed == [(1,), (1,), (4,), (2,)]
    engine.stop(5)


@pytest.mark.parametrize("draws", [False, True])
async def test_who_resizes_is_given_pictures_as_they_are(draws: bool):
    fake = FakePredictor()
    fake.draws = draws
    engine = started(fake)
    loaded = await engine.load(SOURCE, device="cpu")
    assert loaded.draws is draws
    await predict(engine)
    assert fake.undrawn == ([(WIDE.height, WIDE.width, 3)] if draws else [])
    engine.stop(5)


async def test_a_full_batch_that_does_not_fit_ends_nothing():
    class Small(FakePredictor):
        device = "cuda"

        def warm_up(self, batch_sizes):
            if max(batch_sizes) > 2:
                raise DeviceOutOfMemory("too small")
            super().warm_up(batch_sizes)

    fake = Small()
    engine = started(fake)
    await load(engine)
    assert fake.warmed == [(1,), (2,)]
    assert await predict(engine) == 1
    engine.stop(5)


@pytest.mark.parametrize(
    ("fault", "told", "words"),
    [(ValueError("bad"), ValueError, "bad"), (StopIteration(), RuntimeError, "an iterator ended too early")],
)
async def test_faults_reach_the_caller_and_the_thread_lives_on(fault: Exception, told: type[Exception], words: str):
    def fail(pixels: PixelArray) -> None:
        raise fault

    fake = FakePredictor()
    engine = started(fake)
    await load(engine)
    fake.fault = fail
    with pytest.raises(told, match=words):
        async with asyncio.timeout(PATIENCE_S):
            await predict(engine)
    fake.fault = lambda pixels: None
    assert await predict(engine) == 1
    engine.stop(5)


async def test_an_idle_thread_keeps_no_picture():
    fake = FakePredictor()
    engine = started(fake)
    await load(engine)
    pixels = np.zeros((WIDE.height, WIDE.width, 3), dtype=np.uint8)
    kept = weakref.ref(pixels)
    await engine.predict("general", [pixels], [PLACEMENT], [Selection()])
    del pixels
    await until(lambda: kept() is None)
    engine.stop(5)


@pytest.mark.parametrize("fault", [CheckpointError("x is not a checkpoint"), DeviceError("'cuda' is not here")])
async def test_a_failed_load_is_told_as_it_is(fault: Exception, caplog: pytest.LogCaptureFixture):
    def load_nothing(path: Path, device: str) -> FakePredictor:
        raise fault

    engine = Engine(load_nothing)
    engine.start()
    with pytest.raises(type(fault), match=str(fault)):
        await load(engine)
    assert engine.alive
    assert caplog.records == []
    engine.stop(5)


@pytest.mark.parametrize("fatal", [DeviceLost("gone"), SystemExit(1)])
async def test_a_lost_device_fails_what_waits_and_what_comes(fatal):
    fake = FakePredictor()
    engine = started(fake)
    await load(engine)
    fake.fault = lambda pixels: (_ for _ in ()).throw(fatal)
    fake.gate.clear()
    waiting = [asyncio.create_task(predict(engine)) for _ in range(3)]
    await until(lambda: len(fake.batches) == 1)
    fake.gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [EngineFailed] * 3
    assert not engine.alive
    with pytest.raises(EngineFailed):
        await predict(engine)
    engine.stop(5)


async def test_a_caller_that_left_is_no_trouble():
    fake = FakePredictor()
    engine = started(fake)
    await load(engine)
    fake.gate.clear()
    task = asyncio.create_task(predict(engine))
    await until(lambda: len(fake.batches) == 1)
    task.cancel()
    fake.gate.set()
    assert await predict(engine) == 1
    engine.stop(5)


async def test_lanes_take_batches_at_once_and_only_a_lone_one_has_the_whole_device():
    fake = FakePredictor(lanes=3)
    engine = started(fake)
    await load(engine)
    assert engine.turn._value == 3
    lone = await predict(engine, alone=True)
    assert (lone, fake.alone) == (1, [True])
    fake.gate.clear()
    together = [asyncio.create_task(predict(engine, alone=True)) for _ in range(3)]
    await until(lambda: len(fake.batches) == 4)
    assert sorted(fake.alone[1:]) == [False, False, True], "one of them found nobody"
    assert fake.threads == {"inference", "inference 2", "inference 3"}
    fake.gate.set()
    await asyncio.gather(*together)
    await predict(engine, alone=False)
    assert fake.alone[-1] is False, "something else waits"
    engine.stop(5)
    assert not engine.alive


async def test_the_next_model_is_loaded_while_one_is_warmed():
    one, other = FakePredictor(lanes=2), FakePredictor(lanes=2)
    one.keeps_its_thread = False
    warming, held = threading.Event(), threading.Event()

    def warm_up(batch_sizes):
        one.threads.add(threading.current_thread().name)
        warming.set()
        assert held.wait(PATIENCE_S)

    one.warm_up = warm_up
    engine = Engine(lambda path, device: one if path == Path("x") else other)
    engine.start()
    await engine.load(SOURCE, device="cpu")
    task = asyncio.create_task(engine.warm_up(SOURCE.name, 1))
    await until(warming.is_set)
    await load(engine, ModelSource("other", Path("y")))
    assert not task.done()
    held.set()
    await task
    assert (one.threads, other.threads) == ({"inference 2"}, {"inference"})
    engine.stop(5)


async def test_settling_waits_for_what_nobody_waits_for_any_more():
    fake = FakePredictor(lanes=2)
    engine = started(fake)
    await load(engine)
    fake.gate.clear()
    task = asyncio.create_task(predict(engine))
    await until(lambda: len(fake.batches) == 1)
    task.cancel()
    settling = asyncio.create_task(engine.settle(PATIENCE_S))
    await asyncio.sleep(0.05)
    assert not settling.done()
    fake.gate.set()
    await settling
    engine.stop(5)
    assert not engine.running
