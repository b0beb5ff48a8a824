"""uvicorn's HTTP over httptools, with a bound on what comes before a body: httptools itself keeps heads of any size."""

import uuid

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.errors import HeadTooLarge
from service.problems import problem_response
from service.tracing import HEADER

# What uvicorn's other parser, h11, allows; browsers and load balancers send a few kilobytes.
MAX_HEAD_BYTES = 65_536


class BoundedHeads(HttpToolsProtocol):
    """A request whose first line and headers pass the bound, by at most what one read brings, is answered 431, and its
    connection closed."""

    _head_bytes = 0
    _in_head = True
    _began = False

    def data_received(self, data: bytes) -> None:
        """What the socket brought: of a head that it leaves unfinished all is counted but the part that it began in,
        which may also hold the end of another request."""
        self._began = False
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head_bytes = 0 if self._began else self._head_bytes + len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._began = self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its body is next, which has bounds of its own."""
        self._in_head = False
        super().on_headers_complete()

    def _refuse(self) -> None:
        error = HeadTooLarge(f"the first line and headers have more than {MAX_HEAD_BYTES} bytes")
        request_id = uuid.uuid4().hex
        answer = problem_response(error, request_id)
        lines = [*answer.raw_headers, (HEADER.lower().encode(), request_id.encode())]
        head = b"".join(b"%s: %s\r\n" % line for line in lines)
        self.transport.write(STATUS_LINE[error.status] + head + b"\r\n" + bytes(answer.body))
        self.transport.close()
