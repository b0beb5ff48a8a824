"""Queries are read as FastAPI would read them, which takes it longer."""

from typing import Annotated, Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from service.errors import InvalidParameter
from service.parameters import MAX_PARAMETERS, ProposeQuery, read_query
from service.problems import as_service_error

LIKE_FASTAPI = (
    "",
    "top_n=5",
    "top_n=0",
    "top_n=five",
    "top_n=",
    "top_n",
    "top_n=5.0",
    "top_n=5&score_threshold=0.25&nms_iou=1&box_format=xywh&normalized=true&model=face",
    "normalized=yes&score_threshold=nan&nms_iou=-1&box_format=yxyx",
    "normalized=perhaps&",
    "&&top_n=7&",
    "model=",
    "model=a%20b+c%C3%A9%FF",
    "topn=5",
    "top_n=5&colour=red&%74op=1",
    "score_threshold=1e-3",
)


@pytest.fixture(scope="module")
def fastapi() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def read(query: Annotated[ProposeQuery, Query()]) -> dict[str, Any]:
        return query.model_dump()

    @app.exception_handler(RequestValidationError)
    async def told(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(as_service_error(error).extensions, 422)

    return app


@pytest.mark.anyio
@pytest.mark.parametrize("query", LIKE_FASTAPI)
async def test_a_query_is_read_as_fastapi_reads_it(fastapi: FastAPI, query: str):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(fastapi), base_url="http://x") as client:
        theirs = await client.get(f"/?{query}")
    if theirs.status_code == 200:
        assert read_query(query.encode()).model_dump() == theirs.json()
    else:
        for _ in range(2):  # a fault is told as often as it is made
            with pytest.raises(RequestValidationError) as caught:
                read_query(query.encode())
            assert as_service_error(caught.value).extensions == theirs.json()


def test_what_was_read_before_is_not_read_again():
    query = b"top_n=17&score_threshold=0.5"
    assert read_query(query) is read_query(query)
    assert read_query(query) != read_query(b"top_n=18&score_threshold=0.5")


def test_a_long_query_is_read_and_not_kept():
    query = urlencode({"model": "m" * 1000}).encode()
    assert read_query(query) == read_query(query)
    assert read_query(query) is not read_query(query)


def test_what_fastapi_would_pass_over_in_silence_is_refused():
    with pytest.raises(InvalidParameter, match="top_n: is given 2 times"):
        read_query(b"top_n=5&model=a&top_n=6")
    with pytest.raises(InvalidParameter, match=f"query: has more than {MAX_PARAMETERS} parameters"):
        read_query(b"&" * MAX_PARAMETERS)
