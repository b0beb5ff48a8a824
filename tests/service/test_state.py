"""The parts of one service as they start: in which order, and what a failure leaves out."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from service.engine import LoadedModel
from service.lifecycle import Phase
from service.settings import Settings
from service.state import Service
from tests.service.fakes import FakePredictor, until

pytestmark = pytest.mark.anyio


async def start(load: FakePredictor | Exception) -> tuple[Service, list[str]]:
    """A service that has loaded or failed to, and what happened in which order."""
    happened: list[str] = []

    async def prepare(settings: Settings) -> None:
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
