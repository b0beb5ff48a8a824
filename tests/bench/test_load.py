"""The load against a real server: what it sends, what it counts, what it makes of refusals and broken connections."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from bench.clients import generate
from bench.connection import BrokenAnswer, Head, take_body
from bench.load import Load, Plan, UnexpectedAnswers, run_load
from tests.bench.tiny_server import Asked, Reply, tiny_server


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{name}.jpg" for name in "abc"]
    for path in paths:
        path.write_bytes(path.stem.encode() * 100_000)
    return [str(path) for path in paths]


def load(plan: Plan) -> Load:
    return asyncio.run(generate(plan))


def test_every_answer_is_counted_and_only_those_after_the_warm_up_are_timed(pictures: list[str]):
    with tiny_server() as server:
        found = load(Plan([server.address], pictures, clients=4, requests=20, warm_up=6))
    assert found.check().statuses == {"200": len(server.asked)}
    assert 26 <= len(server.asked) <= 26 + 3, "what was under way at the end is waited for"
    assert found.bytes_received == 2 * len(server.asked)
    assert found.bytes_sent > 100_000 * len(server.asked)
    assert 0 < found.p50_ms <= found.p90_ms <= found.p99_ms
    assert found.by_picture_ms.keys() == {"a", "b", "c"}
    assert all(0 < ms <= found.p99_ms for ms in found.by_picture_ms.values())
    assert found.rate * found.seconds == pytest.approx(20)
    assert found.refused == found.broken == 0


def test_pictures_take_turns_and_connections_are_kept(pictures: list[str]):
    with tiny_server() as server:
        load(Plan([server.address], pictures, clients=2, requests=12, warm_up=0, paths=("/x", "/y?z=1")))
    assert len({asked.connection for asked in server.asked}) == 2
    sent = {(asked.path, asked.body[:1], len(asked.body)) for asked in server.asked}
    assert sent == {(path, name, 100_000) for path in ("/x", "/y?z=1") for name in (b"a", b"b", b"c")}
    assert {asked.headers["Content-Type"] for asked in server.asked} == {"image/jpeg"}


def test_clients_are_spread_over_the_addresses(pictures: list[str]):
    with tiny_server() as one, tiny_server() as other:
        load(Plan([one.address, other.address], pictures, clients=4, requests=40))
    assert [len({asked.connection for asked in server.asked}) for server in (one, other)] == [2, 2]


def test_a_form_holds_the_picture(pictures: list[str]):
    with tiny_server() as server:
        load(Plan([server.address], pictures[:1], clients=1, requests=1, warm_up=0, multipart=True))
    asked = server.asked[0]
    boundary = asked.headers["Content-Type"].partition("boundary=")[2].encode()
    _, part, end = asked.body.split(b"--" + boundary)
    assert b'name="image"' in part
    assert part.endswith(b"\r\n\r\n" + b"a" * 100_000 + b"\r\n")
    assert end == b"--\r\n"


def test_a_refused_client_comes_again_and_its_refusal_is_not_timed(pictures: list[str]):
    def reply(number: int, _: Asked) -> Reply:
        return Reply(429, headers={"Retry-After": "0"}) if number % 2 else Reply()

    with tiny_server(reply) as server:
        found = load(Plan([server.address], pictures, clients=1, requests=10, warm_up=0))
    assert found.check().statuses == {"200": 5, "429": 5}
    assert found.refused == 5
    assert found.rate * found.seconds == pytest.approx(5)


def test_a_refused_client_does_not_wait_beyond_the_end(pictures: list[str]):
    with tiny_server(
        lambda number, _: Reply(429, headers={"Retry-After": "600"}) if number == 1 else Reply()
    ) as server:
        found = load(Plan([server.address], pictures, clients=2, requests=5, warm_up=0))
    assert found.statuses["429"] == 1


def test_a_connection_that_is_closed_after_an_answer_is_opened_again(pictures: list[str]):
    with tiny_server(lambda *_: Reply(close=True)) as server:
        found = load(Plan([server.address], pictures, clients=1, requests=3, warm_up=0))
    assert (found.statuses, found.broken) == ({"200": 3}, 0)
    assert len({asked.connection for asked in server.asked}) == 3


@pytest.mark.parametrize(
    "reply",
    [
        lambda number, _: Reply(hang_up=number == 2),
        lambda number, _: Reply(headers={"Content-Length": "many"} if number == 2 else {}, close=number == 2),
    ],
    ids=["no answer", "no length"],
)
def test_a_broken_answer_is_told_and_the_client_goes_on(reply, pictures: list[str]):
    with tiny_server(reply) as server:
        found = load(Plan([server.address], pictures, clients=1, requests=4, warm_up=0))
    assert found.broken == 1
    assert found.statuses == {"200": 3}
    with pytest.raises(UnexpectedAnswers, match="1 broken"):
        found.check()


def test_nobody_listens(pictures: list[str]):
    found = load(Plan(["127.0.0.1:1"], pictures, clients=1, requests=2, warm_up=0))
    assert (found.broken, found.statuses, found.rate) == (2, {}, 0.0)
    with pytest.raises(UnexpectedAnswers):
        found.check()


def test_anything_but_proposals_and_refusals_is_an_error(pictures: list[str]):
    with (
        tiny_server(lambda number, _: Reply(500 if number == 2 else 200)) as server,
        pytest.raises(UnexpectedAnswers, match="'500': 1"),
    ):
        load(Plan([server.address], pictures, clients=1, requests=4)).check()


def test_it_ends_when_the_time_is_up_but_not_before_anything_was_timed(pictures: list[str]):
    with tiny_server() as server:
        found = load(Plan([server.address], pictures, clients=2, seconds=0.0))
    assert found.seconds > 0
    assert 3 <= found.statuses["200"] <= 6


def test_different_answers_are_kept_by_picture(pictures: list[str], tmp_path: Path):
    folder = tmp_path / "answers"
    folder.mkdir()
    with tiny_server(lambda number, asked: Reply(body=asked.body[:1] * (1 + (number > 3)))) as server:
        load(Plan([server.address], pictures, clients=1, requests=9, warm_up=0, answers=str(folder)))
    kept = sorted((path.name.rpartition("-")[0], path.read_bytes()) for path in folder.iterdir())
    assert kept == [(name, name.encode() * n) for name in "abc" for n in (1, 2)]


def test_it_runs_in_a_process_of_its_own_without_what_the_service_imports(pictures: list[str]):
    with tiny_server() as server:
        found = run_load(Plan([server.address], pictures, clients=3, requests=10))
    assert found.statuses["200"] == len(server.asked)
    assert found.cpu_s > 0


def test_the_clients_import_the_standard_library_alone():
    script = 'import sys, bench.clients; print([n for n in ("numpy", "torch", "httpx", "PIL") if n in sys.modules])'
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("HTTP/1.1 200 OK\r\nContent-Length: 7", Head(200, 7, None)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked", Head(200, None, None)),
        ("HTTP/1.1 429 Too Many\r\ncontent-length:0\r\nRetry-After: 3", Head(429, 0, 3.0)),
        ("HTTP/1.1 429 \r\nRETRY-AFTER: Wed, 21 Oct 2026 07:28:00 GMT\r\ncontent-length: 1", Head(429, 1, None)),
    ],
)
def test_heads(text: str, head: Head):
    assert Head.parse(text.encode()) == head


@pytest.mark.parametrize("text", ["", "nonsense", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\nContent-Length: x"])
def test_no_heads(text: str):
    with pytest.raises(BrokenAnswer):
        Head.parse(text.encode())


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x;x=y\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def test_a_body_in_chunks_is_put_together_however_it_arrives():
    whole = chunked(b"one\r\n", b"0\r\n\r\n", b"x" * 300)
    assert take_body(whole + b"HTTP/1.1 200", None) == (b"one\r\n0\r\n\r\n" + b"x" * 300, len(whole))
    assert all(take_body(whole[:end], None) is None for end in range(len(whole)))
    trailed = whole[:-2] + b"X-Sum: 1\r\n\r\n"
    assert take_body(trailed + b"HTTP/1.1 200", None) == (b"one\r\n0\r\n\r\n" + b"x" * 300, len(trailed))
    with pytest.raises(BrokenAnswer, match="length: b'z'"):
        take_body(b"z\r\n", None)
    with pytest.raises(BrokenAnswer, match="a chunk of 1 bytes does not end there"):
        take_body(b"1\r\nabc", None)


def test_answers_in_chunks_are_read_one_after_the_other(pictures: list[str], tmp_path: Path):
    def reply(number: int, asked: Asked) -> Reply:
        return Reply(body=chunked(b"answer", b"ed"), headers={"Transfer-Encoding": "chunked"})

    with tiny_server(reply) as server:
        found = load(Plan([server.address], pictures, clients=1, requests=6, warm_up=0, answers=str(tmp_path)))
        assert len({asked.connection for asked in server.asked}) == 1
    assert (found.statuses, found.broken) == ({"200": 6}, 0)
    assert {path.read_bytes() for path in tmp_path.glob("*.answer")} == {b"answered"}
