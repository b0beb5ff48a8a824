"""Callers who keep a connection learn by their last answer on it that the process leaves."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.lifecycle import Lifecycle, Phase

_STAYING = (Phase.LOADING, Phase.READY)


class CloseWhileLeaving:
    """ASGI middleware: while the process leaves, every answer closes its connection.

    Otherwise a caller behind what balances connections, as a Kubernetes Service does, or behind a proxy that keeps them
    would stay with this process until the port closes, and his next request would meet that.
    """

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""

        async def parting(message: Message) -> None:
            if message["type"] == "http.response.start" and self._lifecycle.phase not in _STAYING:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, parting)
