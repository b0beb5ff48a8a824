"""Heads that are too large, over a real socket; what comes in one piece with a body or another request is not."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from service import http_protocol
from service.http_protocol import MAX_HEAD_BYTES, BoundedHeads
from tests.service.fakes import PATIENCE_S, picture
from tests.service.test_server import SERVE_FAKE, address, process


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with process("-c", SERVE_FAKE) as started:
        yield urlsplit(address(started)).port or 0


def said(port: int, *pieces: bytes) -> bytes:
    """All that is answered to these until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        for piece in pieces:
            connection.sendall(piece)
        answer = b""
        while more := connection.recv(65536):
            answer += more
        return answer


def alive(port: int) -> bool:
    return said(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")


_BEGUN = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
_LINE = b"X: " + b"a" * 4000 + b"\r\n"


@pytest.mark.parametrize(
    ("begun", "piece", "before"),
    [
        (_BEGUN, _LINE, b""),
        (_BEGUN + b"X: ", b"a" * 4000, b""),
        (_BEGUN + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", _LINE, b"HTTP/1.1 200 "),
    ],
    ids=["many", "one", "trailers"],
)
def test_headers_without_end_are_refused(port: int, begun: bytes, piece: bytes, before: bytes):
    answer, sent = b"", 0
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(begun)
        connection.settimeout(0.05)
        while b"HTTP/1.1 431 " not in answer:  # a piece at a time, so that nothing lies unread when it closes
            assert sent < 4 * MAX_HEAD_BYTES
            connection.sendall(piece)
            sent += len(piece)
            with suppress(TimeoutError):
                answer += connection.recv(65536)
        connection.settimeout(PATIENCE_S)
        while more := connection.recv(65536):  # until it is closed
            answer += more
    assert sent > MAX_HEAD_BYTES
    assert answer.startswith(before)
    headers, _, body = answer[answer.index(b"HTTP/1.1 431 ") :].partition(b"\r\n\r\n")
    assert b"connection: close" in headers.lower()
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (431, "head_too_large")
    assert problem["request_id"].encode() in headers
    assert f"more than {MAX_HEAD_BYTES} bytes" in problem["detail"]
    assert alive(port)


def test_an_answer_that_is_under_way_comes_whole_before_the_end():
    assert asyncio.run(answered_while_a_head_grows()).endswith(b"\r\n\r\nwhole")


async def answered_while_a_head_grows() -> bytes:
    """What is answered to a request that is computed until a second one's head has passed the bound."""
    passed = asyncio.Event()
    async with connected(passed) as (protocol, reader, writer):
        writer.write(_WHOLE + b"GET / HTTP/1.1\r\nX: ")
        while not protocol._unparsed > MAX_HEAD_BYTES:
            writer.write(b"a" * 4000)
            await writer.drain()
            await asyncio.sleep(0.01)
        passed.set()
        return await asyncio.wait_for(reader.read(), PATIENCE_S)


_WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
_CUT_SHORT = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx"


Connected = AbstractAsyncContextManager[tuple[BoundedHeads, asyncio.StreamReader, asyncio.StreamWriter]]


def connected(passed: asyncio.Event, **options: Any) -> Connected:
    """A connection to a server whose answers are ``whole``, as soon as ``passed`` is set."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await passed.wait()
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"whole"})

    return served(app, **options)


@asynccontextmanager
async def served(
    app: ASGIApp, *, buffer: int = 0, **options: Any
) -> AsyncIterator[tuple[BoundedHeads, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server of this application; ``buffer``: bytes that the sockets hold, 0 for the system's own."""
    config = uvicorn.Config(app, http=BoundedHeads, lifespan="off", log_config=None, **options)
    config.load()
    protocol = BoundedHeads(config, ServerState(), {})
    listener, caller = socket.create_server(("127.0.0.1", 0)), socket.socket()
    if buffer:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    caller.setblocking(False)
    server = await asyncio.get_running_loop().create_server(lambda: protocol, sock=listener)
    async with server:
        await asyncio.get_running_loop().sock_connect(caller, listener.getsockname())
        reader, writer = await asyncio.open_connection(sock=caller, limit=buffer or 2**16)
        try:
            yield protocol, reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):  # what was still being sent when the other end closed
                await writer.wait_closed()


def problem_of(answer: bytes) -> tuple[int, str]:
    headers, _, body = answer.partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert b"connection: close" in headers.lower()
    assert headers.startswith(b"HTTP/1.1 %d " % problem["status"])
    assert problem["request_id"].encode() in headers
    return problem["status"], problem["code"]


async def answer_to_a_drip(begun: bytes) -> bytes:
    """What is answered to these and then a byte at a time."""
    passed = asyncio.Event()
    passed.set()
    async with connected(passed) as (_, reader, writer):
        writer.write(begun)
        reading = asyncio.ensure_future(reader.read())
        while not reading.done():
            writer.write(b"a")
            await asyncio.sleep(0.02)
        return await reading


@pytest.mark.parametrize("before", [b"", _WHOLE], ids=["first", "second"])
def test_a_head_that_comes_a_byte_at_a_time_is_refused(monkeypatch: pytest.MonkeyPatch, before: bytes):
    monkeypatch.setattr(http_protocol, "HEAD_WITHIN_S", 0.3)
    answer = b""
    for _ in range(5):  # a byte that crosses the answer is met by a reset, which may overtake it on a busy machine
        with suppress(ConnectionResetError):
            answer = asyncio.run(asyncio.wait_for(answer_to_a_drip(before + b"GET / HTTP/1.1\r\nX: "), PATIENCE_S))
            break
    refused = answer.index(b"HTTP/1.1 408 ")
    assert answer[:refused].endswith(b"whole") if before else refused == 0
    assert problem_of(answer[refused:]) == (408, "upload_timeout")


@pytest.mark.parametrize("sent", [b"", b"\r\n"], ids=["nothing", "empty line"])
def test_a_connection_that_brings_no_request_is_closed(monkeypatch: pytest.MonkeyPatch, sent: bytes):
    monkeypatch.setattr(http_protocol, "HEAD_WITHIN_S", 0.1)

    async def answer() -> bytes:
        async with connected(asyncio.Event()) as (_, reader, writer):
            writer.write(sent)
            return await asyncio.wait_for(reader.read(), PATIENCE_S)

    assert asyncio.run(answer()) == b""


@pytest.mark.parametrize("more", [b"", b"\r\n", b"GET / HTTP/1.1\r\nX: "], ids=["nothing", "empty line", "head"])
def test_an_answer_may_take_longer_than_a_head(monkeypatch: pytest.MonkeyPatch, more: bytes):
    monkeypatch.setattr(http_protocol, "HEAD_WITHIN_S", 0.1)

    async def answers() -> list[bytes]:
        passed = asyncio.Event()
        async with connected(passed) as (_, reader, writer):
            writer.write(_WHOLE + more)
            await asyncio.sleep(0.5)
            passed.set()
            first = await asyncio.wait_for(reader.readuntil(b"whole"), PATIENCE_S)
            if more:  # the connection ends with the answer
                return [first, await asyncio.wait_for(reader.read(), PATIENCE_S)]
            writer.write(_WHOLE)
            return [first, await asyncio.wait_for(reader.readuntil(b"whole"), PATIENCE_S)]

    first, second = asyncio.run(answers())
    assert first.startswith(b"HTTP/1.1 200 ")
    assert second == b"" if more else second == first


_UPLOAD = b"POST /propose HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


@pytest.mark.parametrize(
    ("begun", "piece", "problem"),
    [
        (b"ZZ\r\n", b"", (400, "malformed_request")),
        (b"0\r\n", _LINE, (431, "head_too_large")),
        (b"1;", b"x" * 4000, (431, "head_too_large")),
    ],
    ids=["no length", "trailers", "extension"],
)
def test_a_body_that_goes_wrong_is_refused_at_once(port: int, begun: bytes, piece: bytes, problem: tuple[int, str]):
    answer, end = b"", time.monotonic() + 5  # the service would wait ten seconds for more of a body
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(_UPLOAD + begun)
        connection.settimeout(0.05)
        while not answer:
            assert time.monotonic() < end
            connection.sendall(piece)
            with suppress(TimeoutError):
                answer = connection.recv(65536)
    headers, _, body = answer.partition(b"\r\n\r\n")
    assert headers.startswith(b"HTTP/1.1 %d " % problem[0])
    assert b"connection: close" in headers.lower()
    assert json.loads(body)["code"] == problem[1]
    assert alive(port)


@pytest.mark.parametrize("pause", [0.0, 0.2])
def test_a_body_that_goes_wrong_is_told_under_its_own_id_and_logged_once(pause: float):
    named = _UPLOAD.replace(b"Host: x", b"Host: x\r\nX-Request-ID: mine-1")
    with process("-c", SERVE_FAKE, drain_grace_s="0") as started:
        port = urlsplit(address(started)).port or 0
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
            connection.sendall(named)
            time.sleep(pause)  # the handler has begun to read, or not
            connection.sendall(b"ZZ\r\n")
            answer = connection.recv(65536)
        assert problem_of(answer) == (400, "malformed_request")
        assert b"x-request-id: mine-1\r\n" in answer.lower()
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["request_id"] == "mine-1"
        started.terminate()
        log, _ = started.communicate(timeout=PATIENCE_S)
    lines = [line for line in map(json.loads, log.splitlines()) if line.get("request_id")]
    assert [(line["request_id"], line["status"], line["code"]) for line in lines] == [
        ("mine-1", 400, "malformed_request")
    ]


@pytest.mark.parametrize(("version", "told"), [(b"1.1", True), (b"1.0", False)])
def test_who_speaks_http_1_0_is_not_told_to_go_on(port: int, version: bytes, told: bool):
    content = picture()
    head = b"POST /propose HTTP/%s\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n" % version
    answer = said(port, head + b"Content-Length: %d\r\n\r\n" % len(content), content)
    assert answer.startswith(b"HTTP/1.1 100 ") == told
    assert b"HTTP/1.1 200 " in answer


def test_what_it_held_is_given_back():
    with process("-c", SERVE_FAKE, max_requests="1") as started:
        port = urlsplit(address(started)).port or 0
        for _ in range(3):
            assert said(port, _UPLOAD, b"ZZ\r\n").startswith(b"HTTP/1.1 400 ")
        content = picture()
        whole = b"POST /propose HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(content)
        assert said(port, whole + content).startswith(b"HTTP/1.1 200 ")


def test_what_is_no_http_is_told_so(port: int):
    answer = said(port, "GET /propose?top_n=\u0661 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert problem_of(answer) == (400, "malformed_request")
    assert b"\r\ndate: " in answer.lower()
    assert alive(port)


def test_bodies_and_requests_that_come_together_are_not_heads(port: int):
    body = picture() + b"\0" * (2 * MAX_HEAD_BYTES)
    request = b"POST /propose HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
    last = request + b"Connection: close\r\n\r\n" + body
    together = (request + b"\r\n" + body) * 3 + last
    assert said(port, together).count(b"HTTP/1.1 200 ") == 4
    # cut inside the heads that follow a body
    cut = len(request) + 2 + len(body) + 20
    assert said(port, together[:cut], together[cut:]).count(b"HTTP/1.1 200 ") == 4


_POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"


@pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
def test_a_refusal_reaches_who_sends_all_of_a_large_body_first(connection: bytes):
    """His bytes are read to their end, whatever becomes of the connection; a reset would take the answer with it."""
    with process("-c", SERVE_FAKE, max_upload_bytes="1000") as started:
        port = urlsplit(address(started)).port or 0
        head = b"POST /propose HTTP/1.1\r\nHost: x\r\nConnection: %s\r\nContent-Length: 20000000\r\n\r\n" % connection
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as caller:
            caller.sendall(head)
            time.sleep(0.2)  # it has been answered
            for _ in range(20):
                caller.sendall(bytes(1_000_000))
                time.sleep(0.01)
            answer = caller.recv(65536)
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert (b"\r\nconnection: close\r\n" in answer.lower()) == (connection == b"close")
            if connection == b"close":
                assert caller.recv(1) == b""
        assert alive(port)


def test_after_an_answer_that_closes_no_other_is_given():
    """To a request that came with the first; the rest of its body is not waited for."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"5"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"whole"})

    async def answer() -> bytes:
        async with served(app) as (_, reader, writer):
            writer.write(_WHOLE + _CUT_SHORT)
            return await asyncio.wait_for(reader.read(), PATIENCE_S)

    said_to_both = asyncio.run(answer())
    assert said_to_both.count(b"HTTP/1.1 ") == 1
    assert said_to_both.endswith(b"whole")


@pytest.mark.parametrize("rest", [b"x", b"x" * 10, b"x" * 10 + b"\r\n"], ids=["some", "all", "and an empty line"])
def test_a_body_that_comes_after_its_answer_holds_no_connection(monkeypatch: pytest.MonkeyPatch, rest: bytes):
    monkeypatch.setattr(http_protocol, "REST_WITHIN_S", 0.3)
    monkeypatch.setattr(http_protocol, "HEAD_WITHIN_S", 0.3)

    async def after() -> bytes:
        passed = asyncio.Event()
        passed.set()
        async with connected(passed, timeout_keep_alive=1) as (_, reader, writer):
            writer.write(_POST)
            await asyncio.wait_for(reader.readuntil(b"whole"), PATIENCE_S)
            writer.write(rest)
            return await asyncio.wait_for(reader.read(), PATIENCE_S)  # until it is closed

    assert asyncio.run(after()) == b""


def test_a_connection_goes_on_after_a_body_that_came_late(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_protocol, "REST_WITHIN_S", 0.3)

    async def after() -> bytes:
        passed = asyncio.Event()
        passed.set()
        async with connected(passed) as (_, reader, writer):
            writer.write(_POST)
            await asyncio.wait_for(reader.readuntil(b"whole"), PATIENCE_S)
            writer.write(b"x" * 10)
            await asyncio.sleep(0.5)  # longer than the rest may take
            writer.write(_WHOLE)
            return await asyncio.wait_for(reader.readuntil(b"whole"), PATIENCE_S)

    assert asyncio.run(after()).startswith(b"HTTP/1.1 200 ")


def test_who_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_protocol, "READ_WITHIN_S", 0.2)

    async def lost() -> None:
        gone = asyncio.Event()

        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while not gone.is_set():
                await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})

        async with served(app) as (protocol, _, writer):
            protocol.transport.set_write_buffer_limits(high=1000)
            lose = protocol.connection_lost
            protocol.connection_lost = lambda exc: (lose(exc), gone.set())  # type: ignore[method-assign]
            writer.transport.pause_reading()
            writer.write(_WHOLE)
            await asyncio.wait_for(gone.wait(), PATIENCE_S)

    asyncio.run(lost())


@pytest.mark.parametrize("end", ["keep-alive", "close", "shutdown", "half-close"])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_connection_whose_last_answer_is_not_read_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, end: str, loop: Callable[[], asyncio.AbstractEventLoop]
):
    monkeypatch.setattr(http_protocol, "READ_WITHIN_S", 0.2)
    monkeypatch.setattr(http_protocol, "HEAD_WITHIN_S", 0.5)
    answer = bytes(50_000)  # less than stops the writing, more than the sockets below hold

    async def lost() -> None:
        gone = asyncio.Event()
        paused: list[bool] = []

        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            headers = [(b"content-length", b"%d" % len(answer))] + [(b"connection", b"close")] * (end == "close")
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": answer})

        options = {"timeout_keep_alive": 1 if end == "keep-alive" else 60}
        async with served(app, buffer=4096, **options) as (protocol, _, writer):
            lose = protocol.connection_lost
            protocol.connection_lost = lambda exc: (lose(exc), gone.set())  # type: ignore[method-assign]
            protocol.pause_writing = lambda: paused.append(True)  # type: ignore[method-assign]
            writer.transport.pause_reading()
            writer.write(_WHOLE)
            if end == "shutdown":
                await asyncio.sleep(0.2)
                protocol.shutdown()
            if end == "half-close":
                await asyncio.sleep(0.2)
                writer.write(b"G")
                writer.write_eof()
            await asyncio.wait_for(gone.wait(), PATIENCE_S)
            assert not paused

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(lost())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_who_stops_reading_shortly_before_the_end_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, loop: Callable[[], asyncio.AbstractEventLoop]
):
    monkeypatch.setattr(http_protocol, "READ_WITHIN_S", 0.3)
    whole = 200_000

    async def lost() -> None:
        gone = asyncio.Event()

        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            headers = [(b"content-length", b"%d" % whole), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": bytes(whole)})

        async with served(app, buffer=4096) as (protocol, reader, writer):
            lose = protocol.connection_lost
            protocol.connection_lost = lambda exc: (lose(exc), gone.set())  # type: ignore[method-assign]
            writer.write(_WHOLE)
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
            while protocol.transport.get_write_buffer_size() > 16_384:  # from there on writing goes on
                await asyncio.wait_for(reader.read(1024), PATIENCE_S)
            writer.transport.pause_reading()
            assert not gone.is_set()
            await asyncio.wait_for(gone.wait(), PATIENCE_S)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(lost())


_UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAAAAAAIAAAAA\r\n"


@pytest.mark.parametrize("cuts", [(), (30,), (200,), (260, 5000)], ids=str)
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upgrade_is_ignored_and_its_body_read(port: int, cuts: tuple[int, ...], chunked: bool):
    body = picture()
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    request = b"POST /propose HTTP/1.1\r\nHost: x\r\n" + _UPGRADE + framing + b"\r\n\r\n" + sent
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    whole = request + last
    pieces = [whole[start:end] for start, end in zip((0, *cuts), (*cuts, len(whole)), strict=True)]
    answer = said(port, *pieces)
    assert answer.count(b"HTTP/1.1 200 ") == 2, answer[:300]
    assert b'"count":300' in answer


def test_a_body_behind_an_upgrade_is_no_request(port: int):
    hidden = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /propose HTTP/1.1\r\nHost: x\r\n" + _UPGRADE + b"Content-Length: %d\r\n\r\n" % len(hidden)
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = said(port, head, hidden, last)
    assert answer.count(b"HTTP/1.1 ") == 2
    assert answer.startswith(b"HTTP/1.1 415 ")


def test_who_reads_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_protocol, "READ_WITHIN_S", 0.5)
    whole = 60_000_000  # many times what the sockets hold between them

    async def read() -> int:
        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % whole)]})
            await send({"type": "http.response.body", "body": bytes(whole)})

        async with served(app) as (_, reader, writer):
            writer.write(_WHOLE)
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
            size = 0
            while size < whole and (more := await asyncio.wait_for(reader.read(2**18), PATIENCE_S)):
                size += len(more)
                await asyncio.sleep(0.01)  # so that it takes several times the limit
            return size

    assert asyncio.run(read()) == whole


def test_an_upgrade_whose_body_has_no_end_that_can_be_told_is_refused():
    faults: list[dict[str, Any]] = []

    async def answer() -> bytes:
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        async with connected(asyncio.Event()) as (_, reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + _UPGRADE + b"Transfer-Encoding: gzip\r\n\r\n")
            return await asyncio.wait_for(reader.read(), PATIENCE_S)  # and closed, since nothing after it can be read

    assert asyncio.run(answer()).startswith(b"HTTP/1.1 400 ")
    assert faults == []


def test_many_upgrades_at_once_are_all_answered(port: int):
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + _UPGRADE + b"\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert said(port, request * 1200 + last).count(b"HTTP/1.1 200 ") == 1201
