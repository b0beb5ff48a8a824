"""What OpenAPI says beyond the handlers' signatures: picture bodies, and every problem that a path may answer."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.answers import BINARY_HEADERS
from service.errors import ServiceError, service_errors
from service.media_types import MediaType
from service.multipart import FORM_FIELD
from service.problems import MEDIA_TYPE, problem
from service.schemas import Problem
from service.tracing import HEADER

_BINARY = {"type": "string", "format": "binary"}

# Both ways to send pictures. The array makes /docs offer file choosers, as many as one likes.
PICTURE_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FORM_FIELD],
                "properties": {
                    FORM_FIELD: {
                        "type": "array",
                        "items": _BINARY,
                        "minItems": 1,
                        "description": "One picture, or several for `results`.",
                    }
                },
            }
        },
        **{f"image/{kind}": {"schema": _BINARY} for kind in ("jpeg", "png", "webp", "gif", "bmp", "tiff")},
    },
}

# What else than JSON an answer may be; FastAPI adds the JSON.
BINARY_ANSWERS: dict[str, Any] = {
    "description": "One picture's ranked boxes, or for several pictures `results`; a problem among these leaves the "
    "status as it is.",
    "content": {kind.value: {"schema": _BINARY} for kind in MediaType if kind is not MediaType.JSON},
    "headers": {
        "Server-Timing": {"schema": {"type": "string"}, "description": "The same as `timings_ms`."},
        **{
            name: {"schema": {"type": "string"}, "description": f"Of binary answers: {text}."}
            for name, text in BINARY_HEADERS.items()
        },
    },
}


def problem_responses(*kinds: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of these errors, of all of them for none, grouped by status."""
    by_status: dict[int | str, list[type[ServiceError]]] = {}
    for kind in kinds or service_errors():
        by_status.setdefault(kind.status, []).append(kind)
    return {status: _response(group) for status, group in sorted(by_status.items(), key=lambda item: str(item[0]))}


# Of every answer, whatever became of the request.
_REQUEST_ID = {
    "schema": {"type": "string"},
    "description": f"The request's own `{HEADER}`, or one that was made up for it; the log has it, too.",
}
# What problems bring along, and why a caller should look.
_PROBLEM_HEADERS = {
    "Allow": "The methods that the path takes.",
    "Connection": "`close`: nothing more is read from this connection.",
    "Retry-After": "Seconds until it is worth asking again.",
}


def install(app: FastAPI, *, max_top_n: int, models: Sequence[str]) -> None:
    """Make this application's OpenAPI know the problem document's schema, and what is the server's own choice."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            components = schema.setdefault("components", {}).setdefault("schemas", {})
            document = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            components.update(document.pop("$defs", {}))
            components["Problem"] = document
            for operation in (one for path in schema["paths"].values() for one in path.values()):
                for parameter in operation.get("parameters", ()):
                    if parameter["name"] == "top_n":
                        parameter["schema"]["maximum"] = max_top_n
                    elif parameter["name"] == "model":
                        parameter["schema"] = {"type": "string", "enum": list(models)}
                for response in operation["responses"].values():
                    response.setdefault("headers", {})[HEADER] = _REQUEST_ID
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema


def _response(kinds: Iterable[type[ServiceError]]) -> dict[str, Any]:
    kinds = list(kinds)
    headers = sorted({name for kind in kinds for name in kind.example().headers})
    return {
        "description": f"{HTTPStatus(kinds[0].status).phrase}: {', '.join(f'`{kind.code}`' for kind in kinds)}",
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {
                    kind.code: {"summary": kind.title, "value": problem(kind.example(), "4f1c")} for kind in kinds
                },
            }
        },
        "headers": {name: {"schema": {"type": "string"}, "description": _PROBLEM_HEADERS[name]} for name in headers},
    }
