"""The one place where errors become answers: problem documents (RFC 9457)."""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from model import errors as model_errors
from service import errors

MEDIA_TYPE = "application/problem+json"

# A picture's faults, as the model names them, to their answers.
_PICTURE_ERRORS: dict[type[model_errors.PictureError], type[errors.ServiceError]] = {
    model_errors.UnsupportedFormat: errors.UnsupportedFormat,
    model_errors.TooManyPixels: errors.TooManyPixels,
    model_errors.UndecodablePicture: errors.UndecodableImage,
}


def as_service_error(error: Exception) -> errors.ServiceError:
    """What the caller is told of an error; an unexpected one tells nothing of our inside."""
    if isinstance(error, errors.ServiceError):
        return error
    if isinstance(error, model_errors.PictureError):
        return _PICTURE_ERRORS[type(error)](str(error))
    if isinstance(error, RequestValidationError):
        return errors.InvalidParameter([_fault(fault) for fault in error.errors()])
    if isinstance(error, HTTPException):
        return _of_http(error)
    return errors.InternalError("an unexpected fault; the log has it under the request id")


def problem(error: errors.ServiceError, request_id: str, **members: Any) -> dict[str, Any]:
    """The document; ``members`` that are None are left out."""
    return {
        "type": problem_type(error.code),
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": f"urn:rpn:request:{request_id}",
        "code": error.code,
        "request_id": request_id,
        **error.extensions,
        **{name: value for name, value in members.items() if value is not None},
    }


def problem_type(code: str) -> str:
    """The stable URN of a cause."""
    return f"urn:rpn:problem:{code}"


def problem_response(error: errors.ServiceError, request_id: str) -> Response:
    """The whole answer to a request that failed."""
    body = json.dumps(problem(error, request_id), ensure_ascii=False).encode()
    return Response(body, error.status, dict(error.headers), MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every expected error of this application with its problem document."""
    for kind in (errors.ServiceError, model_errors.PictureError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    told = as_service_error(error)
    request.state.log["code"] = told.code
    return problem_response(told, request.state.request_id)


def _of_http(error: HTTPException) -> errors.ServiceError:
    if error.status_code == errors.NotFound.status:
        return errors.NotFound("there is nothing at this path; /docs lists what there is")
    if error.status_code == errors.MethodNotAllowed.status:
        allow = (error.headers or {}).get("Allow", "")
        return errors.MethodNotAllowed(allow="GET, HEAD" if allow == "GET" else allow)  # `service.head_requests`
    return errors.InternalError()


def _fault(fault: Any) -> tuple[str, str]:
    """(parameter, reason) of one of pydantic's faults, whose place is ("query", parameter, …)."""
    place = [str(part) for part in fault["loc"][1:]] or ["request"]
    if fault["type"] == "extra_forbidden":
        return place[0], "there is no such parameter"
    return place[0], str(fault["msg"])
