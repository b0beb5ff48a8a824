"""``POST /propose``."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from service.answers import json_response, slowest
from service.disconnects import while_connected
from service.documentation import PICTURE_BODY, problem_responses
from service.parameters import ProposeQuery
from service.proposing import Proposing
from service.schemas import Answer, Answers
from service.state import ServiceDep
from service.uploads import read_uploads

router = APIRouter(tags=["proposals"])


@router.post(
    "/propose",
    summary="A picture in, ranked boxes out",
    response_model=Answer | Answers,
    responses=problem_responses(),
    openapi_extra={"requestBody": PICTURE_BODY},
)
async def propose(request: Request, query: Annotated[ProposeQuery, Query()], service: ServiceDep) -> Response:
    """Send one picture as the body or as the multipart field `image`: JPEG, PNG, WebP, GIF, BMP or TIFF.

    Several `image` parts give `results`: for each picture, in their order, its result or its problem.
    """
    service.lifecycle.check_accepting()
    settings = service.settings
    batcher = service.batcher(query.model)
    selection = query.selection(max_top_n=settings.max_top_n)
    with service.admission.admit():
        uploads = await read_uploads(request, settings)
        request.state.log.update(model=batcher.model.name, pictures=len(uploads))
        proposing = Proposing(
            batcher=batcher,
            decoder=service.decoder,
            query=query,
            selection=selection,
            deadline=asyncio.get_running_loop().time() + settings.deadline_s,
            request_id=request.state.request_id,
        )
        if len(uploads) == 1:
            results = [await while_connected(request, proposing.one(uploads[0]))]
            content: dict[str, Any] = {"request_id": request.state.request_id, **results[0]}
        else:
            results = await while_connected(request, proposing.several(uploads))
            content = {"request_id": request.state.request_id, "results": results}
        timings = slowest(results)
        request.state.log["timings_ms"] = timings
        return json_response(content, timings)
