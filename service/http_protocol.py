"""uvicorn's HTTP over httptools, with bounds on what comes before a body: httptools itself keeps heads of any size, and
uvicorn waits for them for ever."""

import asyncio
import logging
import uuid

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.errors import HeadTooLarge, MalformedRequest, ServiceError, UploadTimeout
from service.problems import problem_response
from service.tracing import HEADER

_log = logging.getLogger(__name__)

# Four times what uvicorn's other parser, h11, allows; browsers and load balancers send a few kilobytes.
MAX_HEAD_BYTES = 65_536
# As the load balancer's own (deploy/haproxy.cfg); who sends a head a byte at a time would hold a connection for ever.
HEAD_WITHIN_S = 10.0


class BoundedHeads(HttpToolsProtocol):
    """A request whose first line and headers pass the bound, by at most what two reads bring, is answered 431, and its
    connection closed. So are trailers and a chunk's extensions, which the parser would keep just so. One whose first
    line and headers take too long from their first byte is answered 408; a connection that brings none is closed."""

    _unparsed = 0
    _got_on = False
    _head_awaited = True  # between two requests, or within a head
    _head_begun = False
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """A new connection, whose first head is to come."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Its end."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """What the socket brought: counted as long as the parser comes to nothing but headers in it."""
        self._got_on = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        self._unparsed = 0 if self._got_on else self._unparsed + len(data)
        if self._unparsed > MAX_HEAD_BYTES:
            self._stop(HeadTooLarge(f"the first line and headers have more than {MAX_HEAD_BYTES} bytes"))
        elif self._head_begun or (self._head_awaited and not self._got_on):
            self._wait_for_head()

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._got_on = self._head_begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its body is next, which has bounds of its own."""
        self._got_on = True
        self._head_awaited = self._head_begun = False
        self._wait_no_longer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of it."""
        self._got_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Its end."""
        self._got_on = self._head_awaited = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """The answer to what is no HTTP: a problem document like all others."""
        self._stop(MalformedRequest("what was sent is not HTTP/1.1 that can be understood"))

    def _wait_for_head(self) -> None:
        """From the first byte that was awaited on, however many follow it."""
        if self._patience is None:
            self._patience = self.loop.call_later(HEAD_WITHIN_S, self._lose_patience)

    def _wait_no_longer(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        self._patience = None
        if self.transport.is_closing():
            return
        stalled = UploadTimeout(f"the first line and headers have not come within {HEAD_WITHIN_S:g} s")
        self._stop(stalled if self._head_begun else None)

    def _stop(self, error: ServiceError | None) -> None:
        """Close the connection, with an answer where there has been a question."""
        if self.cycle is not None and not self.cycle.response_complete:
            # An earlier request's answer is still to come: nothing more is read, and the connection closes after it.
            self.flow.pause_reading()
            self.cycle.keep_alive = False
        elif error is None:
            self.transport.close()
        else:
            self._refuse(error)

    def _refuse(self, error: ServiceError) -> None:
        request_id = uuid.uuid4().hex
        _log.info("no request", extra={"request_id": request_id, "status": error.status, "reason": error.detail})
        answer = problem_response(error, request_id)
        lines = [*answer.raw_headers, (HEADER.lower().encode(), request_id.encode())]
        head = b"".join(b"%s: %s\r\n" % line for line in lines)
        self.transport.write(STATUS_LINE[error.status] + head + b"\r\n" + bytes(answer.body))
        self.transport.close()
