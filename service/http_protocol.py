"""uvicorn's HTTP over httptools, with a bound on what comes before a body: httptools itself keeps heads of any size."""

import logging
import uuid

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.errors import HeadTooLarge
from service.problems import problem_response
from service.tracing import HEADER

_log = logging.getLogger(__name__)

# Four times what uvicorn's other parser, h11, allows; browsers and load balancers send a few kilobytes.
MAX_HEAD_BYTES = 65_536


class BoundedHeads(HttpToolsProtocol):
    """A request whose first line and headers pass the bound, by at most what two reads bring, is answered 431, and its
    connection closed. So are trailers and a chunk's extensions, which the parser would keep just so."""

    _unparsed = 0
    _got_on = False

    def data_received(self, data: bytes) -> None:
        """What the socket brought: counted as long as the parser comes to nothing but headers in it."""
        self._got_on = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        self._unparsed = 0 if self._got_on else self._unparsed + len(data)
        if self._unparsed > MAX_HEAD_BYTES:
            self._stop()

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._got_on = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its body is next, which has bounds of its own."""
        self._got_on = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of it."""
        self._got_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Its end."""
        self._got_on = True
        super().on_message_complete()

    def _stop(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            # An earlier request's answer is still to come: nothing more is read, and the connection closes after it.
            self.flow.pause_reading()
            self.cycle.keep_alive = False
        else:
            self._refuse()

    def _refuse(self) -> None:
        error = HeadTooLarge(f"the first line and headers have more than {MAX_HEAD_BYTES} bytes")
        request_id = uuid.uuid4().hex
        _log.info("headers without end", extra={"request_id": request_id, "status": error.status})
        answer = problem_response(error, request_id)
        lines = [*answer.raw_headers, (HEADER.lower().encode(), request_id.encode())]
        head = b"".join(b"%s: %s\r\n" % line for line in lines)
        self.transport.write(STATUS_LINE[error.status] + head + b"\r\n" + bytes(answer.body))
        self.transport.close()
