"""The parts of one service as they start: in which order, and what a failure leaves out."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from model.errors import CheckpointError
from service import state
from service.engine import LoadedModel, RunOnThread
from service.lifecycle import Phase
from service.settings import Settings
from service.state import Service
from tests.service.fakes import PATIENCE_S, FakePredictor, until

pytestmark = pytest.mark.anyio


async def start(load: FakePredictor | Exception) -> tuple[Service, list[str]]:
    """A service that has loaded or failed to, and what happened in which order."""
    happened: list[str] = []

    async def prepare(settings: Settings, run: RunOnThread) -> None:
        happened.append("prepared")

    def loaded(path: Path, device: str) -> FakePredictor:
        happened.append("loaded")
        if isinstance(load, Exception):
            raise load
        return load

    def told(models: Sequence[LoadedModel]) -> None:
        happened.append(f"told of {len(models)}, {service.lifecycle.phase}")

    service = Service(Settings(), loaded, prepare, told)
    service.start()
    await until(lambda: service.lifecycle.phase is not Phase.LOADING)
    await service.close()
    return service, happened


async def test_who_prepares_comes_first_and_who_waits_for_all_models_before_the_service_is_ready():
    service, happened = await start(FakePredictor())
    count = len(Settings().models)
    assert happened == ["prepared", *["loaded"] * count, f"told of {count}, loading"]
    assert service.lifecycle.failure is None


async def test_where_a_model_fails_nobody_is_told_that_all_are_loaded():
    service, happened = await start(ValueError("no such model"))
    assert happened == ["prepared", "loaded"]
    assert str(service.lifecycle.failure) == "no such model"


def second_is_damaged(first: FakePredictor) -> Service:
    """Its second model cannot be loaded, while the first may still be warming up."""
    first.keeps_its_thread = False
    predictors = iter([first])

    def load(path: Path, device: str) -> FakePredictor:
        for predictor in predictors:
            return predictor
        raise CheckpointError("the second is damaged")

    return Service(Settings(models="general,face"), load)


async def test_why_a_model_failed_is_told_if_the_service_leaves_before_another_is_warm(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(state, "_ENGINE_PATIENCE_S", 0)
    first, warming, warm = FakePredictor(lanes=2), threading.Event(), threading.Event()
    first.warm_up = lambda batch_sizes: (warming.set(), warm.wait(PATIENCE_S))
    service = second_is_damaged(first)
    try:
        service.start()
        await until(warming.is_set)
        await until(lambda: service.engine._lanes[1]._jobs.qsize() == 1)  # by which settling waits for it
        await service.close()
    finally:
        warm.set()
    assert [record.reason for record in caplog.records] == ["the second is damaged"]
    assert service.lifecycle.phase is Phase.DRAINING


async def test_it_is_told_too_if_the_service_leaves_while_the_failure_is_passed_on(caplog: pytest.LogCaptureFixture):
    service = second_is_damaged(FakePredictor(lanes=2))
    ending, go_on = asyncio.Event(), asyncio.Event()

    async def end_slowly(model: LoadedModel) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await go_on.wait()

    service._warm_up = end_slowly
    service.start()
    await until(ending.is_set)
    closing = asyncio.create_task(service.close())
    await asyncio.sleep(0)  # it has told the loading to end
    go_on.set()
    await closing
    assert [record.reason for record in caplog.records] == ["the second is damaged"]
    assert service.lifecycle.phase is Phase.DRAINING
