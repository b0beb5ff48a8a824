"""The parts of one service as they start: in which order, and what a failure leaves out."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from model.errors import CheckpointError
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


async def test_why_a_model_failed_is_told_even_if_the_service_is_told_to_leave_before_another_is_warm(
    caplog: pytest.LogCaptureFixture,
):
    first = FakePredictor(lanes=2)
    first.keeps_its_thread = False
    warm = threading.Event()
    first.warm_up = lambda batch_sizes: warm.wait(PATIENCE_S)
    loaded: list[str] = []

    def load(path: Path, device: str) -> FakePredictor:
        loaded.append(path.stem)
        if len(loaded) > 1:
            raise CheckpointError("the second is damaged")
        return first

    service = Service(Settings(models="general,face"), load)
    service.start()
    await until(lambda: len(loaded) == 2)
    await until(lambda: not service.engine._lanes[0].waiting)
    await asyncio.sleep(0.05)  # the loading is told of it, and waits for the first to be warm
    service.lifecycle.drain()
    closing = asyncio.create_task(service.close())
    await until(lambda: bool(caplog.records))
    warm.set()
    await closing
    assert [record.reason for record in caplog.records] == ["the second is damaged"]
    assert service.lifecycle.phase is Phase.DRAINING
