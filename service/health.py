"""Probes and what is loaded. None of them goes near the inference queue."""

from fastapi import APIRouter

from service.batching import Batcher
from service.documentation import problem_responses
from service.errors import Draining, EngineFailed, NotReady
from service.lifecycle import Phase
from service.schemas import Health, LoadedModelCard, LoadedModels, Readiness
from service.state import ServiceDep

router = APIRouter(tags=["operation"])


@router.get("/healthz", summary="Alive?", responses=problem_responses(EngineFailed))
async def healthz(service: ServiceDep) -> Health:
    """The process and its inference thread are alive; says nothing of load. Restart the process when it fails."""
    if not service.engine.alive:
        raise EngineFailed("the inference thread has ended or its device is gone")
    return Health()


@router.get("/readyz", summary="Ready?", responses=problem_responses(NotReady, Draining, EngineFailed))
async def readyz(service: ServiceDep) -> Readiness:
    """Every model is loaded, every canvas warm, and the process is not leaving. Send no requests while it fails."""
    phase = service.lifecycle.phase
    if phase is Phase.LOADING:
        raise NotReady("models are being loaded")
    if phase is Phase.FAILED:
        raise NotReady("the service has failed and is ending; the log says why")
    if phase is not Phase.READY:
        raise Draining(f"the process is {phase}")
    if not service.engine.alive:
        raise EngineFailed("the inference thread has ended or its device is gone")
    return Readiness()


@router.get("/models", summary="What is loaded")
async def models(service: ServiceDep) -> LoadedModels:
    """Every loaded model and what its checkpoint says of itself; empty while they are being loaded."""
    default = service.default_model
    cards = [_card(batcher, default=name == default) for name, batcher in service.batchers.items()]
    return LoadedModels(default=default if default in service.batchers else None, models=cards)


def _card(batcher: Batcher, *, default: bool) -> LoadedModelCard:
    model = batcher.model
    info = model.info
    return LoadedModelCard(
        name=model.name,
        default=default,
        version=info.version,
        digest=info.digest,
        checkpoint=info.name,
        architecture=info.architecture,
        parameters=info.parameters,
        device=model.device,
        runtime=model.runtime,
        input_rule=info.input_rule,
        canvases=[str(canvas) for canvas in model.input_rule.canvases],
        max_top_n=model.max_top_n,
        nms_iou=info.nms_iou,
        overlap_penalty=info.overlap_penalty,
        provenance=info.provenance,
        metrics=info.metrics,
    )
