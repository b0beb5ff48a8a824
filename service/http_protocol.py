"""uvicorn's HTTP over httptools, with bounds on what these wait for or keep without one: heads of any size, callers who
send or read nothing, bodies that come after their answer. And with the bodies of requests that ask for an upgrade,
which httptools skips."""

import asyncio
import logging
import math
import uuid
from typing import cast

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.errors import HeadTooLarge, MalformedRequest, ServiceError, UploadTimeout
from service.problems import problem_response
from service.tracing import HEADER, REFUSED, request_id

_log = logging.getLogger(__name__)

# Four times what uvicorn's other parser, h11, allows; browsers and load balancers send a few kilobytes.
MAX_HEAD_BYTES = 65_536
# As the load balancer's own (deploy/haproxy.cfg); who sends a head a byte at a time would hold a connection for ever.
HEAD_WITHIN_S = 10.0
# The rest of a body whose answer was given before it: read, so that the caller comes to read the answer, but not for
# ever. nginx's `lingering_time`.
REST_WITHIN_S = 30.0
# For a caller to read something, once so much of his answer waits that no more is written, or his connection is to be
# closed behind it; as the load balancer's own.
READ_WITHIN_S = 60.0

# The headers that say where a body ends.
_FRAMING = (b"content-length", b"transfer-encoding")


class BoundedHeads(HttpToolsProtocol):
    """A request whose first line and headers pass the bound, by at most what two reads bring, is answered 431, and its
    connection closed. So are trailers and a chunk's extensions, which the parser would keep just so. One whose first
    line and headers take too long from their first byte is answered 408; a connection that brings none is closed.

    An upgrade that a request asks for (clients with HTTP/2 do, by ``Upgrade: h2c``) is ignored, as RFC 9110, section
    7.8 allows.
    """

    _unparsed = 0
    _got_on = False
    _head_awaited = True  # between two requests, or within a head
    _head_begun = False
    _last = False  # nothing comes after the body that is being read
    _repeating = False  # within the head of a request that has had its turn, for the sake of its body
    _patience: asyncio.TimerHandle | None = None
    _rest: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """A new connection, whose first head is to come."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Its end."""
        self._wait_no_longer()
        super().connection_lost(exc)
        _cancel(self._rest)
        _cancel(self._reading)

    def data_received(self, data: bytes) -> None:
        """What the socket brought: counted as long as the parser comes to nothing but headers in it."""
        self._got_on = False
        self._unset_keepalive_if_required()
        self._parse(data)
        if self.transport.is_closing():
            return
        self._unparsed = 0 if self._got_on else self._unparsed + len(data)
        if self._unparsed > MAX_HEAD_BYTES:
            self._stop(HeadTooLarge(f"the first line and headers have more than {MAX_HEAD_BYTES} bytes"))
        elif self._head_begun or (self._head_awaited and not self._got_on):
            self._wait_for_head()
        elif self._idle and self.timeout_keep_alive_task is None:
            # uvicorn waits so from the answer's end on, but no more once a byte has come after it, as a body's may.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_message_begin(self) -> None:
        """A request's first byte."""
        if self._repeating:
            return
        self._got_on = self._head_begun = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        if not self._repeating:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers."""
        if not self._repeating:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its body is next, which has bounds of its own."""
        if self._repeating:
            return
        self._got_on = True
        self._head_awaited = self._head_begun = False
        self._wait_no_longer()
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # RFC 9110, section 10.1.1: such a caller is not to be told to go on
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.transport = cast(asyncio.Transport, _UntilRead(self))

    def on_body(self, body: bytes) -> None:
        """A part of it."""
        self._got_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Its end."""
        self._got_on = True
        if self.parser.should_upgrade():  # its head's alone: `_without_upgrade`
            return
        self._head_awaited = True
        _cancel(self._rest)
        super().on_message_complete()
        if self._last:
            self._close()

    def on_response_complete(self) -> None:
        """An answer's end, which may come before the body's."""
        super().on_response_complete()
        if self.cycle.response_complete and not self._head_awaited:
            _cancel(self._rest)
            self._rest = self.loop.call_later(REST_WITHIN_S, self._close)
        self._see_it_read()

    def timeout_keep_alive_handler(self) -> None:
        """No other request has come."""
        super().timeout_keep_alive_handler()
        self._see_it_read()

    def shutdown(self) -> None:
        """The service ends: nothing more is taken from here."""
        super().shutdown()
        self._see_it_read()

    def pause_writing(self) -> None:
        """The caller does not read as fast as he is answered."""
        super().pause_writing()
        self._wait_for_reading(math.inf)

    def resume_writing(self) -> None:
        """He has read on."""
        super().resume_writing()
        _cancel(self._reading)
        self._see_it_read()

    def send_400_response(self, msg: str) -> None:
        """The answer to what is no HTTP: a problem document like all others."""
        self._stop(MalformedRequest("what was sent is not HTTP/1.1 that can be understood"))

    @property
    def _idle(self) -> bool:
        """Every request has been read to its end and answered."""
        return (
            self.cycle is not None
            and self.cycle.response_complete
            and self._head_awaited
            and not self._head_begun
            and not self.pipeline
        )

    @property
    def _in_unanswered_body(self) -> bool:
        """What is being read is the body of the request that is in hand, and no answer to it has begun."""
        between = self._head_awaited or self._head_begun
        return self.cycle is not None and not (between or self.pipeline or self.cycle.response_started)

    def _parse(self, data: bytes) -> None:
        try:
            while data:
                data = self._rest_after_upgrade(data)
        except httptools.HttpParserError as error:
            self.send_400_response(str(error))

    def _rest_after_upgrade(self, data: bytes) -> bytes:
        """Parse it as far as the head of a request that asks for an upgrade; what comes after that.

        The parser ends there, its body unread. Another one is told where the body ends.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            framing = [b"%s: %s\r\n" % header for header in self.headers if header[0] in _FRAMING]
            self.parser = httptools.HttpRequestParser(self)
            self._repeating = True
            try:
                self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")
            finally:
                self._repeating = False
            return data[upgrade.args[0] :]
        return b""

    def close_when_read(self) -> None:
        """After the last answer; its caller may still be sending, and would not come to read what he has been told."""
        if self._head_awaited or self.pipeline:  # what is being read is another's, who gets no answer
            self._close()
        else:
            self._last = True  # `on_response_complete` does not wait for ever

    def _wait_for_reading(self, before: float) -> None:
        """Look now and then whether less is left to send than ``before``, until nothing is."""
        left = self.transport.get_write_buffer_size()
        _cancel(self._reading)
        if left >= before:
            self.transport.abort()
        elif left:
            self._reading = self.loop.call_later(READ_WITHIN_S, self._wait_for_reading, left)

    def _close(self) -> None:
        self.transport.close()
        self._see_it_read()

    def _see_it_read(self) -> None:
        """A transport that is closed waits until what is left has been sent, which may be for ever."""
        if self.transport.is_closing():
            self._wait_for_reading(math.inf)

    def _wait_for_head(self) -> None:
        """From the first byte that was awaited on, however many follow it."""
        if self._patience is None:
            self._patience = self.loop.call_later(HEAD_WITHIN_S, self._lose_patience)

    def _wait_no_longer(self) -> None:
        _cancel(self._patience)
        self._patience = None

    def _lose_patience(self) -> None:
        self._patience = None
        if self.transport.is_closing():  # by itself, where the caller has ended his half
            self._see_it_read()
            return
        stalled = UploadTimeout(f"the first line and headers have not come within {HEAD_WITHIN_S:g} s")
        self._stop(stalled if self._head_begun else None)

    def _stop(self, error: ServiceError | None) -> None:
        """Close the connection, with an answer where there has been a question."""
        if error is not None and self._in_unanswered_body:
            # The handler learns that nobody is there any more, and gives back what it holds. The answer is its own.
            scope = cast(Scope, self.cycle.scope)
            scope["state"][REFUSED] = error
            self._refuse(error, request_id(scope))
        elif self.cycle is not None and not self.cycle.response_complete:
            # An earlier request's answer is still to come: nothing more is read, and the connection closes after it.
            self.flow.pause_reading()
            self.cycle.keep_alive = False
        elif error is None:
            self._close()
        else:
            made_up = uuid.uuid4().hex
            _log.info("no request", extra={"request_id": made_up, "status": error.status, "reason": error.detail})
            self._refuse(error, made_up)

    def _refuse(self, error: ServiceError, name: str) -> None:
        answer = problem_response(error, name)
        lines = [*self.server_state.default_headers, *answer.raw_headers, (HEADER.lower().encode(), name.encode())]
        head = b"".join(b"%s: %s\r\n" % line for line in lines)
        self.transport.write(STATUS_LINE[error.status] + head + b"\r\n" + bytes(answer.body))
        self._close()


class _UntilRead:
    """The transport as an answer sees it: one that closes behind it, but only once the request has been read.

    A socket that is closed with bytes unread sends a reset, which takes the answer away from a caller who sends first
    and reads then; a balancer whose every request says ``Connection: close`` would lose each refusal of a picture.
    """

    def __init__(self, protocol: BoundedHeads) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        """At the latest `REST_WITHIN_S` from now."""
        self._protocol.close_when_read()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
