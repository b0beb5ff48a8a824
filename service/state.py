"""Everything that one running service holds, and how handlers come by it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypedDict

from fastapi import Depends, Request

from model.errors import ModelError
from service.admission import Admission
from service.batching import Batcher, BatchLimits
from service.engine import Engine, LoadedModel, LoadPredictor, RunOnThread
from service.errors import UnknownModel, shortened
from service.images import Decoder
from service.lifecycle import Lifecycle
from service.settings import Settings

_log = logging.getLogger("service")

# At the end a batch in hand may finish; a model that is still being loaded is not waited for.
_ENGINE_PATIENCE_S = 2.0
# When one model cannot be loaded another may still be warming up, some seconds; the interpreter must not be taken apart
# under it.
_SETTLING_S = 60.0

Prepare = Callable[[Settings, RunOnThread], Awaitable[None]]


async def prepare_nothing(settings: Settings, run: RunOnThread) -> None:
    """For models that load as they are."""


def go_on(models: Sequence[LoadedModel]) -> None:
    """For a process that is not the service's alone."""


class Service:
    """The parts of one service, wired. It runs once: `start`, then `close`.

    ``prepare`` comes before the models, and is given `Engine.run`; ``when_loaded`` is told of them before the service
    is ready.
    """

    def __init__(
        self,
        settings: Settings,
        load: LoadPredictor,
        prepare: Prepare = prepare_nothing,
        when_loaded: Callable[[Sequence[LoadedModel]], None] = go_on,
    ) -> None:
        self.settings = settings
        self.lifecycle = Lifecycle()
        self.admission = Admission(settings.max_requests, settings.max_held_bytes)
        self.decoder = Decoder(threads=settings.decode_workers, max_pixels=settings.max_pixels)
        self.engine = Engine(load)
        self.batchers: dict[str, Batcher] = {}
        self._prepare = prepare
        self._when_loaded = when_loaded
        self._loading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to load the models, while probes are already answered."""
        self.engine.start()
        self._loading = asyncio.create_task(self._load_models(), name="loading")

    async def _load_models(self) -> None:
        """Load and warm every model, then be ready. A failure is kept for whoever runs the process to end it."""
        loaded: list[LoadedModel] = []
        try:
            async with asyncio.TaskGroup() as warming:
                await self._prepare(self.settings, self.engine.run)
                for source in self.settings.models:
                    model = await self.engine.load(source, device=self.settings.device)
                    loaded.append(model)
                    warming.create_task(self._warm_up(model), name=f"warming {model.name}")
        except ExceptionGroup as errors:
            await self._fail(errors.exceptions[0])
        else:
            sharing: list[Batcher] = []
            for model in loaded:
                self.batchers[model.name] = Batcher(
                    model, self.engine, self._limits(model), room=self._room, sharing=sharing
                )
            self._when_loaded(loaded)
            self.lifecycle.loaded()
            _log.info("ready")

    async def _fail(self, failure: Exception) -> None:
        """Keep it for whoever runs the process; one that is told to leave meanwhile only logs it."""
        task = asyncio.current_task()
        try:
            if task is not None and task.cancelling():  # a group of tasks that was ending anyway has kept it back
                raise asyncio.CancelledError
            await self.engine.settle(_SETTLING_S)
        except asyncio.CancelledError:
            unexpected = None if isinstance(failure, ModelError) else failure
            _log.error("the models could not be made ready", exc_info=unexpected, extra={"reason": str(failure)})
            raise
        self.lifecycle.failed(failure)

    async def _warm_up(self, model: LoadedModel) -> None:
        await self.engine.warm_up(model.name, self._limits(model).largest_batch(model.input_rule))
        _log.info("model loaded", extra={"model": model.name, "digest": model.info.digest})

    @property
    def _room(self) -> int:
        """Decoded pictures are many times as large as they came, and a request may bring several."""
        return max(self.settings.max_requests, self.settings.max_pictures)

    def _limits(self, model: LoadedModel) -> BatchLimits:
        limits = BatchLimits(self.settings.max_batch or model.usual_batch, self.settings.max_batch_pixels)
        # On a GPU a size's first time takes seconds, and the largest canvas's sizes are those that are warmed.
        return limits if model.device == "cpu" else limits.alike(model.input_rule)

    def batcher(self, name: str | None) -> Batcher:
        """The queue of the model of this name; of the default one for None.

        Raises:
            UnknownModel: none of that name is loaded.
        """
        wanted = self.default_model if name is None else name
        if wanted not in self.batchers:
            raise UnknownModel([("model", f"{shortened(wanted)!r} is not loaded; loaded: {', '.join(self.batchers)}")])
        return self.batchers[wanted]

    @property
    def default_model(self) -> str:
        """The model for requests that name none."""
        return self.settings.models[0].name

    async def close(self) -> None:
        """End every part; what still waits is refused."""
        self.lifecycle.drain()
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        for batcher in self.batchers.values():
            await batcher.close()
        self.decoder.close()
        self.engine.stop(_ENGINE_PATIENCE_S)


class LifespanState(TypedDict):
    """What the lifespan hands to every request."""

    service: Service


async def get_service(request: Request) -> Service:
    """The service that this request has come to; a coroutine, since FastAPI calls what is none in another thread."""
    service: Service = request.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]
