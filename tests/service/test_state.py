"""The parts of one service as they start: in which order, and what a failure leaves out."""

from pathlib import Path

import pytest

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

    service = Service(Settings(), loaded, prepare, lambda: happened.append(f"told, {service.lifecycle.phase}"))
    service.start()
    await until(lambda: service.lifecycle.phase is not Phase.LOADING)
    await service.close()
    return service, happened


async def test_who_prepares_comes_first_and_who_waits_for_all_models_before_the_service_is_ready():
    service, happened = await start(FakePredictor())
    assert happened == ["prepared", *["loaded"] * len(Settings().models), "told, loading"]
    assert service.lifecycle.failure is None


async def test_where_a_model_fails_nobody_is_told_that_all_are_loaded():
    service, happened = await start(ValueError("no such model"))
    assert happened == ["prepared", "loaded"]
    assert str(service.lifecycle.failure) == "no such model"
