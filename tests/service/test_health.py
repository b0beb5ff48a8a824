import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from model.errors import CheckpointError
from service.lifecycle import Phase
from service.schemas import LoadedModels
from tests.service.fakes import FakePredictor, picture, running, until

pytestmark = pytest.mark.anyio


async def test_ready_when_loaded():
    async with running() as service:
        assert (await service.client.get("/healthz")).json() == {"status": "alive"}
        assert (await service.client.get("/readyz")).json() == {"status": "ready"}


async def test_probes_may_ask_for_no_body():
    async with running() as service:
        for path in ("/healthz", "/readyz", "/models"):
            assert (await service.client.head(path)).status_code == 200
        assert "head" not in (await service.client.get("/openapi.json")).json()["paths"]["/healthz"]


async def test_probes_do_not_queue_behind_inference():
    fake = FakePredictor()
    async with running(fake, max_requests=1) as service:
        fake.gate.clear()
        asking = asyncio.create_task(service.propose(picture()))
        await until(lambda: len(fake.batches) == 1)
        for path in ("/healthz", "/readyz", "/models"):
            assert (await service.client.get(path)).status_code == 200
        fake.gate.set()
        await asking


async def test_a_dead_inference_thread_is_told():
    fake = FakePredictor()

    def end(pixels):
        raise SystemExit

    fake.fault = end
    async with running(fake) as service:
        response = await service.propose(picture())
        assert (response.status_code, response.json()["code"]) == (503, "engine_failed")
        for path in ("/healthz", "/readyz"):
            response = await service.client.get(path)
            assert (response.status_code, response.json()["code"]) == (503, "engine_failed")


async def test_leaving_is_alive_and_not_ready():
    async with running() as service:
        service.service.lifecycle.leave()
        assert (await service.client.get("/healthz")).status_code == 200
        response = await service.client.get("/readyz")
        assert (response.status_code, response.json()["code"]) == (503, "draining")
        assert (await service.propose(picture())).status_code == 200, "still served while leaving"


async def test_a_failed_load_is_never_ready():
    def load(path, device):
        raise CheckpointError("no such file")

    async with running(load) as service:
        assert service.service.lifecycle.phase is Phase.FAILED
        assert str(service.service.lifecycle.failure) == "no such file"
        assert (await service.client.get("/readyz")).json()["code"] == "not_ready"
        assert (await service.propose(picture())).json()["code"] == "not_ready"


async def test_models_are_described():
    async with running(models="general,peer=/x.safetensors") as service:
        answer = (await service.client.get("/models")).json()
    assert LoadedModels.model_validate(answer).model_dump(mode="json") == answer
    assert answer["default"] == "general"
    assert [(card["name"], card["default"]) for card in answer["models"]] == [("general", True), ("peer", False)]
    card = answer["models"][0]
    assert (card["device"], card["runtime"]) == ("cpu", "fake fp32")
    assert card["checkpoint"] == "fake"
    assert card["canvases"] == ["64x48", "48x64"]
    assert card["metrics"] == {"AR@100": 0.5}


async def test_a_model_that_cannot_be_loaded_is_told_once_the_one_before_has_been_warmed():
    first = FakePredictor(lanes=2)
    first.keeps_its_thread = False
    warm = []

    def warm_up(batch_sizes: Sequence[int]) -> None:
        time.sleep(0.3)
        warm.append(True)

    first.warm_up = warm_up  # type: ignore[method-assign]

    def load(path: Path, device: str) -> FakePredictor:
        if path == Path("/x.safetensors"):
            raise CheckpointError("x is damaged")
        return first

    async with running(load, models="general,peer=/x.safetensors", wait=False) as service:
        lifecycle = service.service.lifecycle
        await until(lambda: lifecycle.phase is not Phase.LOADING)
        assert (lifecycle.phase, str(lifecycle.failure), warm) == (Phase.FAILED, "x is damaged", [True])
