"""deploy/haproxy.cfg in a real HAProxy before two stand-ins for the service: who gets a request, and who gets it twice.

Everything is as in the file but the addresses (free ports of this machine, and the replicas named instead of resolved),
and where a test says so how long it waits.
"""

import csv
import http.client
import io
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from service.problems import MEDIA_TYPE, problem_type
from service.schemas import Problem

CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "haproxy.cfg"
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(HAPROXY is None, reason="needs haproxy (apt-get install haproxy)"),
]

OK = (200, {"Content-Type": "application/json"}, b'{"count": 0}')
OVERLOADED = (429, {"Content-Type": "application/problem+json", "Retry-After": "7"}, b'{"code": "overloaded"}')
DRAINING = (503, {"Content-Type": "application/problem+json"}, b'{"code": "draining"}')


@dataclass
class Replica:
    """A stand-in for the service: is it ready, what does it say to a picture, what has it been asked."""

    ready: bool = True
    answer: tuple[int, dict[str, str], bytes] | None = OK  # None: it breaks off without a word
    hasty: bool = False  # it answers before it has read the picture, whose bytes it passes over, as the service refuses
    works_for: float = 0  # seconds; it stops when the caller goes away
    asked: list[tuple[Message, bytes]] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)  # that pictures have come by
    abandoned: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self):
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # a sender who broke off is none of its faults
            super().handle_error(request, client_address)


def _handler(replica: Replica) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer leaves in one piece

        def do_GET(self):
            self._say(OK if replica.ready and self.path == "/readyz" else DRAINING)

        def do_POST(self):
            replica.connections.add(self.client_address[1])
            if replica.hasty:
                replica.asked.append((self.headers, b""))
                self._say(replica.answer)
                if self.close_connection:  # asked for: many servers then leave the rest unread
                    return
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if replica.hasty:
                return
            replica.asked.append((self.headers, body))
            gone, _, _ = select.select([self.connection], [], [], replica.works_for)
            if gone:
                replica.abandoned.set()
            elif replica.answer is not None:
                self._say(replica.answer)
                return
            self.close_connection = True

        def _say(self, answer):
            status, headers, content = answer
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    return Handler


@dataclass
class Balancer:
    """A running HAProxy: its ports, and the questions that the tests ask it."""

    port: int
    stats_port: int

    def propose(self, body=b"picture", headers=None) -> tuple[int, Message, bytes]:
        return _request(self.port, "POST", "/propose", body, headers or {})

    def begin_upload(self, size: int) -> socket.socket:
        """A sender of whose picture no more than the first bytes come."""
        sender = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        sender.sendall(b"POST /propose HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\npicture" % size)
        return sender

    def wait_for_under_way(self, requests: int) -> None:
        _wait(
            lambda: (
                [row["scur"] for row in self._stats() if row["pxname"] == "replicas" and row["svname"] == "BACKEND"]
                == [str(requests)]
            )
        )

    def health(self) -> tuple[int, Message, bytes]:
        return _request(self.port, "GET", "/balancerz")

    def ready_replicas(self) -> int:
        return sum(row["status"].startswith("UP") for row in self._stats() if row["svname"].startswith("replica"))

    def wait_for(self, replicas: int) -> None:
        _wait(lambda: self.ready_replicas() == replicas)

    def _stats(self) -> list[dict[str, str]]:
        _, _, table = _request(self.stats_port, "GET", "/;csv")
        return list(csv.DictReader(io.StringIO(table.decode().removeprefix("# "))))


@pytest.fixture
def replicas() -> Iterator[list[Replica]]:
    stand_ins = [Replica(), Replica()]
    yield stand_ins
    for replica in stand_ins:
        replica.stop()


@pytest.fixture
def balancer(replicas, tmp_path) -> Iterator[Balancer]:
    with _running(replicas, tmp_path) as running:
        yield running


@pytest.fixture
def impatient(replicas, tmp_path) -> Iterator[Balancer]:
    """One that waits a second for a picture and for an answer."""
    changes = ((r"wait-for-body time 10s", "wait-for-body time 1s"), (r"timeout server 60s", "timeout server 1s"))
    with _running(replicas, tmp_path, changes) as running:
        yield running


@pytest.fixture
def bounded(replicas, tmp_path) -> Iterator[Balancer]:
    """One that lets an address have two requests under way."""
    with _running(replicas, tmp_path, MAX_PER_ADDRESS="2") as running:
        yield running


@contextmanager
def _running(replicas, folder: Path, changes=(), **environment: str) -> Iterator[Balancer]:
    running = Balancer(_free_port(), _free_port())
    servers = "\n    ".join(
        f"server replica{number} 127.0.0.1:{replica.port}" for number, replica in enumerate(replicas, start=1)
    )
    config = CONFIG.read_text()
    for pattern, replacement in (
        (r"bind :8080", f"bind 127.0.0.1:{running.port}"),
        (r"bind :8404", f"bind 127.0.0.1:{running.stats_port}"),
        (r"server-template replica \d+ proposals:8000 .*", servers),
        *changes,
    ):
        config, count = re.subn(pattern, replacement, config)
        assert count == 1, pattern
    (folder / "haproxy.cfg").write_text(config)
    command = [HAPROXY, "-db", "-f", folder / "haproxy.cfg"]
    environment = {name: value for name, value in os.environ.items() if name != "MAX_PER_ADDRESS"} | environment
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            _wait(lambda: _listens(running.port) and running.ready_replicas() == 2)
            yield running
        finally:
            process.terminate()
            process.wait(timeout=10)


def test_pictures_that_come_together_go_to_different_replicas(balancer, replicas):
    for replica in replicas:
        replica.works_for = 0.5
    with ThreadPoolExecutor() as callers:
        answers = [callers.submit(balancer.propose) for _ in replicas]
    assert [answer.result()[0] for answer in answers] == [200, 200]
    assert [len(replica.asked) for replica in replicas] == [1, 1]


def test_a_replica_that_is_not_ready_gets_nothing_new(balancer, replicas):
    replicas[0].ready = False
    balancer.wait_for(1)
    assert {balancer.propose()[0] for _ in range(4)} == {200}
    assert [len(replica.asked) for replica in replicas] == [0, 4]
    assert balancer.health()[0] == 200

    replicas[0].ready = True
    balancer.wait_for(2)


def test_no_replica_ready_is_said_as_a_problem(balancer, replicas):
    for replica in replicas:
        replica.ready = False
    balancer.wait_for(0)
    for answer in (balancer.propose(), balancer.health()):
        assert _headers_of_problem(answer, 503, "no_replica_ready")["Retry-After"] == "2"


def test_overload_passes_untouched_and_is_not_tried_elsewhere(balancer, replicas):
    for replica in replicas:
        replica.answer = OVERLOADED
    status, headers, content = balancer.propose()
    assert (status, headers["Retry-After"], content) == (429, "7", b'{"code": "overloaded"}')
    assert sum(len(replica.asked) for replica in replicas) == 1


@pytest.mark.parametrize("size", [150_000, 500_000, 3_000_000, 21_000_000])
def test_a_refusal_reaches_who_is_still_sending(balancer, replicas, size):
    """Who sends all of his picture before he reads, as this client does, gets the answer all the same."""
    for replica in replicas:
        replica.answer, replica.hasty = OVERLOADED, True
    for _ in range(4):
        status, headers, content = balancer.propose(slowly(size), {"Content-Length": str(size)})
        assert (status, headers["Retry-After"], content) == (429, "7", b'{"code": "overloaded"}')


def slowly(size: int) -> Iterator[bytes]:
    """A picture over a line of some 100 megabits a second."""
    for sent in range(0, size, 250_000):
        yield bytes(min(250_000, size - sent))
        time.sleep(0.02)


def test_each_request_has_a_connection_of_its_own(balancer, replicas):
    with closing(http.client.HTTPConnection("127.0.0.1", balancer.port, timeout=10)) as kept:
        for _ in range(4):
            kept.request("POST", "/propose", b"picture")
            assert kept.getresponse().read() == OK[2]
    assert sum(len(replica.asked) for replica in replicas) == 4
    assert sum(len(replica.connections) for replica in replicas) == 4


def test_a_draining_refusal_of_a_small_picture_is_tried_on_the_other(balancer, replicas):
    replicas[0].answer = DRAINING
    assert {balancer.propose(bytes(10_000))[0] for _ in range(4)} == {200}
    assert len(replicas[0].asked) > 0
    assert len(replicas[1].asked) == 4


def test_a_refused_connection_is_tried_on_the_other_whatever_the_size(balancer, replicas):
    replicas[0].stop()
    assert {balancer.propose(bytes(1_000_000))[0] for _ in range(4)} == {200}
    assert len(replicas[1].asked) == 4


def test_a_picture_that_kills_a_replica_is_not_handed_to_the_next(balancer, replicas):
    for replica in replicas:
        replica.answer = None
    _headers_of_problem(balancer.propose(), 502, "bad_gateway")
    assert sum(len(replica.asked) for replica in replicas) == 1


def test_a_replica_that_does_not_answer_is_said_as_a_problem(impatient, replicas):
    for replica in replicas:
        replica.works_for = 5
    _headers_of_problem(impatient.propose(), 504, "gateway_timeout")


def test_a_small_picture_that_does_not_come_is_said_as_a_problem(impatient, replicas):
    with impatient.begin_upload(size=1000) as sender:
        _headers_of_problem(_answer(sender), 408, "request_timeout")
    assert [replica.asked for replica in replicas] == [[], []]


def test_one_address_may_have_as_much_under_way_as_it_likes(balancer, replicas):
    with balancer.begin_upload(size=100_000), balancer.begin_upload(size=100_000), balancer.begin_upload(size=100_000):
        assert balancer.propose()[0] == 200


def test_or_no_more_than_is_said(bounded, replicas):
    with bounded.begin_upload(size=100_000):
        bounded.wait_for_under_way(1)
        assert bounded.propose()[0] == 200
        bounded.wait_for_under_way(1)
        with bounded.begin_upload(size=100_000):
            bounded.wait_for_under_way(2)
            assert _headers_of_problem(bounded.propose(), 429, "too_many_at_once")["Retry-After"] == "2"
        _wait(lambda: bounded.propose()[0] == 200)


def test_nor_may_it_hold_more_connections_than_leave_room_for_others(bounded):
    """Ones by which nothing has come count as well, which no bound on requests sees."""
    with ExitStack() as held:
        idle = [held.enter_context(socket.create_connection(("127.0.0.1", bounded.port))) for _ in range(300)]
        _wait(lambda: len(select.select(idle, [], [], 0)[0]) == 300 - 256)  # readable: closed
    _wait(lambda: bounded.health()[0] == 200)


def test_an_id_of_the_callers_own_is_the_requests(balancer, replicas):
    balancer.propose(headers={"X-Request-ID": "mine-1"})
    assert _ids_seen(replicas) == ["mine-1"]
    for replica in replicas:
        replica.answer = None
    headers = _headers_of_problem(balancer.propose(headers={"X-Request-ID": "mine-2"}), 502, "bad_gateway")
    assert headers["X-Request-ID"] == "mine-2"


@pytest.mark.parametrize("given", [None, "", 'x","code":"y', "x" * 129, "one, two"])
def test_or_else_a_new_one_that_the_replica_gets_too(balancer, replicas, given):
    for replica in replicas:
        replica.answer = None
    headers = {} if given is None else {"X-Request-ID": given}
    made_up = _headers_of_problem(balancer.propose(headers=headers), 502, "bad_gateway")["X-Request-ID"]
    assert made_up not in (given, "")
    assert _ids_seen(replicas) == [made_up]


def test_a_client_that_goes_away_leaves_the_replica_too(balancer, replicas):
    if _version() < (3, 2):
        pytest.skip("an older HAProxy (seen with 2.6) waits for the answer all the same; docker-compose.yml has 3.4")
    for replica in replicas:
        replica.works_for = 10
    with socket.create_connection(("127.0.0.1", balancer.port)) as client:
        client.sendall(b"POST /propose HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\npicture")
        _wait(lambda: any(replica.asked for replica in replicas))
    _wait(lambda: any(replica.abandoned.is_set() for replica in replicas), seconds=5)


def test_a_large_picture_arrives_whole(balancer, replicas):
    picture = bytes(range(256)) * 80_000  # 20 MB
    assert balancer.propose(picture)[0] == 200
    [(_, received)] = [asked for replica in replicas for asked in replica.asked]
    assert received == picture


def test_who_the_client_is_only_the_balancer_says(balancer, replicas):
    balancer.propose(headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "Forwarded": "for=x"})
    [(headers, _)] = [asked for replica in replicas for asked in replica.asked]
    assert headers.get_all("X-Forwarded-For") == ["127.0.0.1"]
    assert headers.get_all("X-Forwarded-Proto") == ["http"]
    assert headers.get_all("X-Forwarded-Host") == [f"127.0.0.1:{balancer.port}"]
    assert "Forwarded" not in headers


def _headers_of_problem(answer: tuple[int, Message, bytes], status: int, code: str) -> Message:
    """Those of an answer that must be the balancer's own, and whole as the published schema has it."""
    answered, headers, content = answer
    assert (answered, headers["Content-Type"]) == (status, MEDIA_TYPE)
    problem = Problem.model_validate_json(content)
    assert (problem.status, problem.code, problem.type) == (status, code, problem_type(code))
    assert headers.get_all("X-Request-ID") == [problem.request_id]
    assert problem.instance == f"urn:rpn:request:{problem.request_id}"
    return headers


def _ids_seen(replicas: list[Replica]) -> list[str]:
    return [value for replica in replicas for headers, _ in replica.asked for value in headers.get_all("X-Request-ID")]


def _answer(sender: socket.socket) -> tuple[int, Message, bytes]:
    response = http.client.HTTPResponse(sender)
    response.begin()
    return response.status, response.headers, response.read()


def _request(port: int, method: str, path: str, body=None, headers=None) -> tuple[int, Message, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def _version() -> tuple[int, int]:
    said = subprocess.run([HAPROXY, "-v"], capture_output=True, text=True, check=True).stdout
    major, minor = re.search(r"version (\d+)\.(\d+)", said).groups()
    return int(major), int(minor)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def _wait(happened: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
