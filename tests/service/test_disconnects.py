"""Callers that go away, over a real socket."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect

from service.disconnects import while_connected
from tests.service.fakes import FakePredictor, listening, picture, running, until

pytestmark = pytest.mark.anyio


async def send(host: str, port: int, data: bytes, *, declared: int | None = None) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection(host, port)
    length = len(data) if declared is None else declared
    writer.write(f"POST /propose HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode() + data)
    await writer.drain()
    return writer


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def test_gone_while_uploading():
    with listening() as (service, host, port):
        writer = await send(host, port, picture()[:100], declared=10_000)
        await until(lambda: service.admission.held == 1)
        await hang_up(writer)
        await until(lambda: service.admission.held == 0)


async def test_gone_while_waiting_is_never_computed():
    fake = FakePredictor()
    with listening(fake) as (service, host, port):
        fake.gate.clear()
        holding = await send(host, port, picture(1))
        await until(lambda: len(fake.batches) == 1)
        leaving = await send(host, port, picture(2))
        await until(lambda: service.batcher(None).waiting == 1)
        await hang_up(leaving)
        await until(lambda: service.admission.held == 1)
        fake.gate.set()
        await until(lambda: service.admission.held == 0)
        assert len(fake.batches) == 1
        await hang_up(holding)


async def test_gone_while_the_device_works_harms_nobody():
    fake = FakePredictor()
    with listening(fake) as (service, host, port):
        fake.gate.clear()
        leaving = await send(host, port, picture(1))
        await until(lambda: len(fake.batches) == 1)
        await hang_up(leaving)
        await until(lambda: service.admission.held == 0)
        fake.gate.set()
        reader, writer = await asyncio.open_connection(host, port)
        data = picture(2)
        writer.write(f"POST /propose HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await hang_up(writer)


async def test_too_large_over_a_socket_is_answered_though_the_client_still_sends():
    with listening(max_upload_bytes=1000) as (_, host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"POST /propose HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(40):
            writer.write(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
            await writer.drain()
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        await hang_up(writer)


class Caller:
    """The part of a request that the watcher listens to."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict] = asyncio.Queue()
        self.receive = self.messages.get


async def test_work_is_cancelled_when_the_caller_goes():
    caller = Caller()
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    caller.messages.put_nowait({"type": "http.request"})
    caller.messages.put_nowait({"type": "http.disconnect"})
    with pytest.raises(ClientDisconnect):
        await while_connected(caller, work())
    assert cancelled.is_set()


async def test_work_ends_first_and_its_outcome_is_handed_on():
    async def work() -> int:
        return 7

    async def fail() -> int:
        raise ValueError("no")

    assert await while_connected(Caller(), work()) == 7
    with pytest.raises(ValueError, match="no"):
        await while_connected(Caller(), fail())


async def test_cancelling_the_handler_cancels_the_work():
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    handler = asyncio.create_task(while_connected(Caller(), work()))
    await started.wait()
    handler.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handler
    assert cancelled.is_set()


async def test_a_cancelled_request_gives_its_permit_back():
    fake = FakePredictor()
    async with running(fake) as service:
        fake.gate.clear()
        asking = asyncio.create_task(service.propose(picture()))
        await until(lambda: len(fake.batches) == 1)
        asking.cancel()
        await until(lambda: service.service.admission.held == 0)
        fake.gate.set()
