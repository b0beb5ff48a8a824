"""Heads that are too large, over a real socket; what comes in one piece with a body or another request is not."""

import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from service.http_protocol import MAX_HEAD_BYTES
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
            try:
                connection.sendall(piece)
            except OSError:  # closed before it was all sent
                break
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionResetError:  # unread bytes were left behind
            pass
        return answer


def alive(port: int) -> bool:
    return said(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "head",
    [b"".join(b"X-%d: %s\r\n" % (i, b"a" * 900) for i in range(400)), b"X: " + b"a" * 400_000 + b"\r\n"],
    ids=["many", "one"],
)
def test_a_head_without_end_is_refused(port: int, head: bytes):
    pieces = [head[start : start + 4096] for start in range(0, len(head), 4096)]
    answer = said(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n", *pieces)
    if answer:  # the close may overtake it where more is still being sent
        first, _, rest = answer.partition(b"\r\n")
        assert first.startswith(b"HTTP/1.1 431 ")
        headers, _, body = rest.partition(b"\r\n\r\n")
        assert b"connection: close" in headers.lower()
        problem = json.loads(body)
        assert (problem["status"], problem["code"]) == (431, "head_too_large")
        assert problem["request_id"].encode() in headers
        assert f"more than {MAX_HEAD_BYTES} bytes" in problem["detail"]
    assert alive(port)


def test_trailers_without_end_are_refused_too(port: int):
    begun = b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    trailers = [b"X-%d: %s\r\n" % (i, b"a" * 4000) for i in range(200)]
    answer = said(port, begun, b"0\r\n", *trailers)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 200 ")
    assert alive(port)


def test_an_answer_that_is_under_way_is_not_cut_off_by_the_next_head(port: int):
    body = picture()
    request = b"POST /propose HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    endless = b"GET / HTTP/1.1\r\nX: " + b"a" * 400_000
    answer = said(port, request + endless[:100], endless[100:])
    assert answer == b"" or answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 431 "))
    assert alive(port)


def test_the_refusal_is_read_where_nothing_more_is_sent(port: int):
    begun = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(begun)
        sent = 0
        connection.settimeout(0.05)
        while True:  # a piece at a time, until there is an answer
            connection.sendall(b"X: " + b"a" * 4000 + b"\r\n")
            sent += 4005
            try:
                answer = connection.recv(65536)
                break
            except TimeoutError:
                assert sent < 4 * MAX_HEAD_BYTES
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert sent > MAX_HEAD_BYTES


def test_bodies_and_requests_that_come_together_are_not_heads(port: int):
    body = picture() + b"\0" * (2 * MAX_HEAD_BYTES)
    request = b"POST /propose HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
    last = request + b"Connection: close\r\n\r\n" + body
    together = (request + b"\r\n" + body) * 3 + last
    assert said(port, together).count(b"HTTP/1.1 200 ") == 4
    # cut inside the heads that follow a body
    cut = len(request) + 2 + len(body) + 20
    assert said(port, together[:cut], together[cut:]).count(b"HTTP/1.1 200 ") == 4
