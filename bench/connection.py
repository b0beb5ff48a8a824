"""One kept-alive HTTP/1.1 connection, by hand: an HTTP library would take more of the processor than the load may."""

import asyncio
from dataclasses import dataclass
from typing import cast

_END_OF_HEAD = b"\r\n\r\n"
_BOUNDARY = "a-picture-has-no-such-line"


class BrokenAnswer(Exception):
    """The connection ended before its answer did, or the answer is none that we can read."""


@dataclass(frozen=True, slots=True)
class Head:
    """An answer's first lines. ``length``: bytes of the body, None where it comes in chunks; ``retry_after``: seconds,
    None where not said; ``last``: the server ends the connection after it."""

    status: int
    length: int | None
    retry_after: float | None = None
    last: bool = False

    @classmethod
    def parse(cls, data: bytes) -> "Head":
        """The status line and the headers, without the empty line.

        Raises:
            BrokenAnswer: they say no length in bytes, or are not HTTP.
        """
        first, *lines = data.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        try:
            status = int(first.split(" ")[1])
            length = (
                None if headers.get("transfer-encoding", "").lower() == "chunked" else int(headers["content-length"])
            )
        except (IndexError, ValueError, KeyError) as error:
            raise BrokenAnswer(f"not an answer with a length: {first!r}") from error
        last = headers.get("connection", "").lower() == "close"
        return cls(status, length, _seconds(headers.get("retry-after")), last)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    head: Head
    body: bytes


class Connection(asyncio.Protocol):
    """Asks one request after the other; ``open`` until either side has ended it."""

    def __init__(self) -> None:
        self.open = False
        self._received = bytearray()
        self._head: Head | None = None
        self._answer: asyncio.Future[Answer] | None = None

    @classmethod
    async def to(cls, host: str, port: int) -> "Connection":
        """A new connection.

        Raises:
            OSError: nobody listens there.
        """
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    async def ask(self, request: bytes) -> Answer:
        """The answer to the bytes of one request.

        Raises:
            BrokenAnswer: there will be none.
        """
        if not self.open:
            raise BrokenAnswer("the connection has ended")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """End the connection, whatever is under way."""
        self.open = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio's."""
        self._transport, self.open = cast("asyncio.Transport", transport), True

    def data_received(self, data: bytes) -> None:
        """As asyncio's."""
        self._received += data
        try:
            self._read()
        except BrokenAnswer as error:
            self._fail(error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio's."""
        self.open = False
        self._fail(BrokenAnswer(f"the connection ended: {exc or 'closed'}"))

    def _read(self) -> None:
        if self._head is None:
            head, found, rest = self._received.partition(_END_OF_HEAD)
            if not found:
                return
            self._head, self._received = Head.parse(bytes(head)), bytearray(rest)
        if self._answer is None or self._answer.done():
            return
        taken = take_body(self._received, self._head.length)
        if taken is None:
            return
        body, end = taken
        self.open = not self._head.last
        self._answer.set_result(Answer(self._head, body))
        self._head, self._received = None, self._received[end:]

    def _fail(self, error: BrokenAnswer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def take_body(received: bytes | bytearray, length: int | None) -> tuple[bytes, int] | None:
    """The body that begins here, and where it ends; None while it is not whole. In chunks (RFC 9112, 7.1) for None.

    Raises:
        BrokenAnswer: a chunk says no length, or does not end where it says.
    """
    if length is not None:
        return (bytes(received[:length]), length) if len(received) >= length else None
    body, place = b"", 0
    while (end := received.find(b"\r\n", place)) >= 0:
        try:
            size = int(received[place:end].partition(b";")[0], 16)
        except ValueError as error:
            raise BrokenAnswer(f"not a chunk's length: {bytes(received[place:end])!r}") from error
        start, place = end + 2, end + 2 + size + 2
        if not size:
            return _past_trailers(received, start, body)
        if len(received) < place:
            return None
        if received[place - 2 : place] != b"\r\n":
            raise BrokenAnswer(f"a chunk of {size} bytes does not end there")
        body += received[start : start + size]
    return None


def _past_trailers(received: bytes | bytearray, start: int, body: bytes) -> tuple[bytes, int] | None:
    """Header lines may follow the last chunk; an empty line ends them."""
    while (end := received.find(b"\r\n", start)) >= 0:
        if end == start:
            return body, end + 2
        start = end + 2
    return None


def request_bytes(path: str, address: str, body: bytes, *, accept: str, multipart: bool = False) -> bytes:
    """A ``POST`` of one JPEG, as the whole body or as the form field ``image``."""
    kind = "image/jpeg"
    if multipart:
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
        head = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="picture.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        )
        body = head.encode() + body + f"\r\n--{_BOUNDARY}--\r\n".encode()
    lines = (
        f"POST {path} HTTP/1.1",
        f"Host: {address}",
        f"Accept: {accept}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join(lines).encode() + _END_OF_HEAD + body


def _seconds(value: str | None) -> float | None:
    """``Retry-After`` where it is a number; a date is as good as nothing here."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return None
