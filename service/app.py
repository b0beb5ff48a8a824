"""The composition root: the one module that knows the model's door, and every part of the service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from model.host.graphs import DEFAULT_CACHE
from service import documentation, health, problems, routes
from service.engine import Predictor
from service.head_requests import HeadAsGet
from service.parting import CloseWhileLeaving
from service.state import LifespanState, Service
from service.tracing import RequestTracing

DISTRIBUTION = "region-proposal-service"


def load_predictor(
    path: Path,
    device: str,
    precision: str = "auto",
    runtime: str = "auto",
    lanes: int = 1,
    cache: Path = DEFAULT_CACHE,
) -> Predictor:
    """The real predictor. Imported here, in the inference thread: where torch computes, importing it takes seconds."""
    from model.allocator import keep_freed_memory, share_arenas
    from model.predictor import Predictor as NetworkPredictor

    keep_freed_memory()
    share_arenas()
    return NetworkPredictor.load(path, device=device, precision=precision, runtime=runtime, lanes=lanes, cache=cache)


def create_app(service: Service) -> FastAPI:
    """The whole application around one service, which starts and ends with it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[LifespanState]:
        service.start()
        try:
            yield {"service": service}
        finally:
            await service.close()

    app = FastAPIOffline(  # /docs loads nothing from other hosts
        title="Region proposal service",
        description="Pictures in, ranked class-agnostic object boxes out.",
        version=metadata.version(DISTRIBUTION),
        lifespan=lifespan,
        redirect_slashes=False,  # it would send callers where their Host header says, and by http behind TLS
    )
    app.add_middleware(HeadAsGet)
    app.add_middleware(CloseWhileLeaving, lifecycle=service.lifecycle)
    app.add_middleware(RequestTracing)  # the outermost: it comes last
    app.include_router(routes.router)
    app.include_router(health.router)
    problems.install(app)
    documentation.install(
        app, max_top_n=service.settings.max_top_n, models=[one.name for one in service.settings.models]
    )
    return app
