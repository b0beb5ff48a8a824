"""Heads that are too large, over a real socket; what comes in one piece with a body or another request is not."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

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

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await passed.wait()
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"whole"})

    config = uvicorn.Config(app, http=BoundedHeads, lifespan="off", log_config=None)
    config.load()
    protocol = BoundedHeads(config, ServerState(), {})
    server = await asyncio.get_running_loop().create_server(lambda: protocol, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET / HTTP/1.1\r\nX: ")
        while not protocol._unparsed > MAX_HEAD_BYTES:
            writer.write(b"a" * 4000)
            await writer.drain()
            await asyncio.sleep(0.01)
        passed.set()
        answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
        writer.close()
    return answer


def test_bodies_and_requests_that_come_together_are_not_heads(port: int):
    body = picture() + b"\0" * (2 * MAX_HEAD_BYTES)
    request = b"POST /propose HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
    last = request + b"Connection: close\r\n\r\n" + body
    together = (request + b"\r\n" + body) * 3 + last
    assert said(port, together).count(b"HTTP/1.1 200 ") == 4
    # cut inside the heads that follow a body
    cut = len(request) + 2 + len(body) + 20
    assert said(port, together[:cut], together[cut:]).count(b"HTTP/1.1 200 ") == 4
