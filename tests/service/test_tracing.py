import json
import logging

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from service.logs import JsonFormatter
from service.tracing import RequestTracing
from tests.service.fakes import image_parts, picture, running

pytestmark = pytest.mark.anyio


def request_lines(caplog) -> list[dict]:
    return [vars(record) for record in caplog.records if record.name == "service.requests"]


async def test_one_line_for_each_request(caplog):
    caplog.set_level(logging.INFO)
    async with running() as service:
        response = await service.client.post("/propose", files=image_parts(picture(1), picture(2)))
        await service.propose(b"x")
        await service.client.get("/healthz")
    good, bad = request_lines(caplog)
    assert good["request_id"] == response.headers["X-Request-ID"]
    assert (good["method"], good["path"], good["status"]) == ("POST", "/propose", 200)
    assert (good["model"], good["pictures"]) == ("general", 2)
    assert set(good["timings_ms"]) == {"decode", "queue", "inference"}
    assert (bad["status"], bad["code"]) == (415, "unsupported_format")


async def test_a_caller_who_goes_is_logged_as_that_and_sent_nothing(caplog):
    async def gone(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnect

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    caplog.set_level(logging.INFO)
    scope = {"type": "http", "method": "POST", "path": "/propose", "headers": []}
    await RequestTracing(gone)(scope, receive, send)
    (line,) = request_lines(caplog)
    assert (line["status"], line["levelno"], sent) == (499, logging.INFO, [])


async def test_lines_are_json():
    record = logging.LogRecord("a.b", logging.WARNING, "", 0, "it is %s", ("so",), None)
    record.request_id = "é1"
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["logger"], line["message"], line["request_id"]) == ("warning", "a.b", "it is so", "é1")


async def test_a_callers_path_can_neither_flood_nor_steer_a_terminal(caplog):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 404, "headers": []})

    async def nothing(_message=None):
        return None

    caplog.set_level(logging.INFO)
    scope = {"type": "http", "method": "GET", "path": "/\x9b2J\x7f\u2028" + "x" * 60_000, "headers": []}
    await RequestTracing(app)(scope, nothing, nothing)
    (record,) = (record for record in caplog.records if record.name == "service.requests")
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 600
    assert json.loads(line)["path"].startswith("/\x9b2J\x7f\u2028x")


def test_exceptions_stay_on_the_line():
    try:
        raise ValueError("no")
    except ValueError as error:
        record = logging.LogRecord("a", logging.ERROR, "", 0, "failed", (), (type(error), error, error.__traceback__))
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "ValueError: no" in json.loads(line)["exception"]
