"""``POST /propose``."""

import asyncio
from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from service.answers import binary_response, json_response, result, slowest
from service.disconnects import while_connected
from service.documentation import BINARY_ANSWERS, PICTURE_BODY, problem_responses
from service.errors import NotAcceptable
from service.media_types import MediaType, choose_media_type, takes_json
from service.parameters import ProposeQuery, check_query
from service.proposing import Proposing
from service.schemas import Answer, Answers
from service.state import ServiceDep
from service.uploads import read_uploads

router = APIRouter(tags=["proposals"])


@router.post(
    "/propose",
    summary="A picture in, ranked boxes out",
    response_model=Answer | Answers,
    dependencies=[Depends(check_query)],
    responses={200: BINARY_ANSWERS, **problem_responses()},
    openapi_extra={"requestBody": PICTURE_BODY},
)
async def propose(request: Request, query: Annotated[ProposeQuery, Query()], service: ServiceDep) -> Response:
    """Send one picture as the body or as the multipart field `image`: JPEG, PNG, WebP, GIF, BMP or TIFF.

    Several `image` parts give `results`: for each picture, in their order, its result or its problem.

    `Accept: application/octet-stream` answers one picture in little-endian float32, five for each proposal (the box and
    its score), `application/x-npz` in numpy's arrays `boxes`, `scores` and `image_size`; headers say the rest.
    """
    accept = ", ".join(request.headers.getlist("accept"))
    media_type = choose_media_type(accept)
    service.lifecycle.check_accepting()
    settings = service.settings
    batcher = service.batcher(query.model)
    selection = query.selection(max_top_n=settings.max_top_n, nms_iou=batcher.model.info.nms_iou)
    with service.admission.admit() as permit:
        uploads = await read_uploads(request, settings, permit)
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
            found = await while_connected(request, proposing.one(uploads[0]))
            request.state.log["timings_ms"] = found.timings
            if media_type is not MediaType.JSON:
                return binary_response(found, media_type)
            return json_response({"request_id": request.state.request_id, **result(found)}, found.timings)
        if not takes_json(accept):
            raise NotAcceptable(f"several pictures are answered as {MediaType.JSON} alone")
        results = await while_connected(request, proposing.several(uploads))
        timings = slowest(results)
        request.state.log["timings_ms"] = timings
        if codes := Counter(one["code"] for one in results if "code" in one):
            request.state.log["codes"] = dict(codes)
        return json_response({"request_id": request.state.request_id, "results": results}, timings)
