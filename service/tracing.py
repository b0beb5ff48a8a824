"""The outermost layer: gives every request its id, logs one line for each, and catches what nobody expected."""

import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ServiceError
from service.problems import as_service_error, problem_response

HEADER = "X-Request-ID"

_log = logging.getLogger("service.requests")

# What may be taken over from the caller: it is logged and sent back, so it must not carry anything else.
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# nginx's status for a caller that went away; it is logged and never sent.
_CALLER_GONE = 499
# Ours have a dozen characters; a caller may send 64 KiB.
_MAX_LOGGED_PATH = 200
# Probes come every few seconds, and their lines would bury the others.
_QUIET_PATHS = frozenset({"/healthz", "/readyz"})


# What the server has answered by itself while the body came, in the state: a `ServiceError`.
REFUSED = "refused"


def request_id(scope: Scope) -> str:
    """The caller's own, or one that is made up; kept in the state, where handlers find it."""
    state = scope.setdefault("state", {})
    if "request_id" not in state:
        given = Headers(scope=scope).get(HEADER, "")
        state["request_id"] = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
    name: str = state["request_id"]
    return name


class RequestTracing:
    """ASGI middleware. Handlers find ``request_id``, and ``log`` for what they want on the line, in the state."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and see to its end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        try:
            await self._app(scope, receive, exchange.send)
        except ClientDisconnect:
            exchange.disconnected()
        except Exception as error:
            _log.exception("unexpected fault", extra={"request_id": exchange.request_id})
            if exchange.status is None:
                await problem_response(as_service_error(error), exchange.request_id)(scope, receive, exchange.send)
        finally:
            exchange.log()


class _Exchange:
    """One request and its answer, as the log sees them."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.request_id = request_id(scope)
        self.status: int | None = None
        self._fields: dict[str, Any] = {}
        self._scope, self._send = scope, send
        self._started = time.perf_counter()
        scope["state"]["log"] = self._fields

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)[HEADER] = self.request_id
        await self._send(message)

    def disconnected(self) -> None:
        """Nobody is there any more: the caller went, or the server has refused what he sent."""
        refusal: ServiceError | None = self._scope["state"].get(REFUSED)
        self.status = _CALLER_GONE if refusal is None else refusal.status
        if refusal is not None:
            self._fields |= {"code": refusal.code, "reason": refusal.detail}

    def log(self) -> None:
        path = self._scope["path"]
        level = logging.DEBUG if path in _QUIET_PATHS else logging.INFO
        fields = {
            "request_id": self.request_id,
            "method": self._scope["method"],
            "path": path[:_MAX_LOGGED_PATH],
            "status": self.status,
            "total_ms": round((time.perf_counter() - self._started) * 1000, 3),
            **self._fields,
        }
        _log.log(level, "request", extra=fields)
