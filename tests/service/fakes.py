"""The fake predictor, the only stand-in of these tests, and the real service around it."""

import asyncio
import io
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from PIL import Image

from model.imaging.canvas import InputRule, draw_on_canvas
from model.structures import Canvas, ImageSize, ModelInfo, PixelArray, Placement, Proposals, Selection
from service.app import create_app
from service.http_protocol import BoundedHeads
from service.images import decode_picture
from service.lifecycle import Phase
from service.server import listen
from service.settings import Settings
from service.state import Service

WIDE, TALL = Canvas(64, 48), Canvas(48, 64)
PATIENCE_S = 20.0  # only a failing test ever waits so long


class FakePredictor:
    """Boxes that depend on a picture's own pixels and size alone, so that a neighbour's answer is recognised.

    ``gate`` holds it inside `predict` while closed; ``fault`` may raise for a batch; ``batches`` has what it saw.
    """

    max_top_n = 1000
    device = "cpu"
    runtime = "fake fp32"
    usual_batch = 8
    keeps_its_thread = True
    draws = False

    def __init__(self, name: str = "fake", *, found: int = 1000, lanes: int = 1) -> None:
        self.info = ModelInfo(name, "7", "sha256:" + "0" * 64, "fake", 1, "fake", {"data": "none"}, {"AR@100": 0.5})
        self.input_rule = InputRule("longest", 64, 64, (WIDE, TALL))
        self.found = found
        self.lanes = lanes
        self.batches: list[tuple[Canvas, int]] = []
        self.alone: list[bool] = []  # what each batch was told
        self.selections: list[Selection] = []  # of all batches
        self.undrawn: list[tuple[int, ...]] = []  # the shapes of pictures that it was to resize
        self.threads: set[str] = set()
        self.warmed: list[tuple[int, ...]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fault: Callable[[PixelArray], None] = lambda pixels: None

    def sizes_to_warm(self, largest: int) -> tuple[int, ...]:
        return (1,) if self.device == "cpu" else (1, 2, largest)

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        self.threads.add(threading.current_thread().name)
        self.warmed.append(tuple(batch_sizes))

    def predict(
        self,
        pixels: PixelArray,
        placements: Sequence[Placement],
        selections: Sequence[Selection],
        *,
        alone: bool = True,
    ) -> list[Proposals]:
        canvases = {placement.canvas for placement in placements}
        assert len(canvases) == 1, "a batch is one canvas"
        (canvas,) = canvases
        assert pixels.shape == (len(placements), canvas.height, canvas.width, 3)
        self.threads.add(threading.current_thread().name)
        self.batches.append((canvas, len(placements)))
        self.alone.append(alone)
        self.selections += selections
        assert self.gate.wait(PATIENCE_S)
        self.fault(pixels)
        return [self._propose(*one) for one in zip(pixels, placements, selections, strict=True)]

    def predict_undrawn(
        self,
        pictures: Sequence[PixelArray],
        placements: Sequence[Placement],
        selections: Sequence[Selection],
        *,
        alone: bool = True,
    ) -> list[Proposals]:
        self.undrawn += [picture.shape for picture in pictures]
        pairs = zip(pictures, placements, strict=True)
        pixels = np.stack([draw_on_canvas(Image.fromarray(picture), placement) for picture, placement in pairs])
        return self.predict(pixels, placements, selections, alone=alone)

    def _propose(self, pixels: PixelArray, placement: Placement, selection: Selection) -> Proposals:
        random = np.random.default_rng(zlib.crc32(pixels.tobytes()))
        size = np.array([placement.image.width, placement.image.height], dtype=np.float32)
        corners = np.sort(random.random((self.found, 2, 2), dtype=np.float32), axis=1) * size
        scores = np.sort(random.random(self.found, dtype=np.float32))[::-1]
        kept = int((scores >= selection.score_threshold).sum())
        count = min(kept, selection.top_n)
        return Proposals(corners.reshape(-1, 4)[:count], scores[:count], kept > count)


def picture(seed: int = 0, width: int = 80, height: int = 60, *, kind: str = "PNG", **options: Any) -> bytes:
    """An encoded picture of noise: each seed another."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, kind, **options)
    return encoded.getvalue()


def expected_boxes(data: bytes, **selection: Any) -> list[list[float]]:
    """What a picture is to be answered, worked out alone."""
    fake = FakePredictor()
    decoded = decode_picture(data, fake.input_rule, 10**9)
    (found,) = fake.predict(decoded.pixels[None], [decoded.placement], [Selection(**selection)])
    return np.round(found.boxes.astype(np.float64), 2).tolist()


def boxes_of(result: dict[str, Any]) -> list[list[float]]:
    return [proposal["box"] for proposal in result["proposals"]]


def image_parts(*pictures: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    """Several pictures as httpx wants multipart files."""
    return [("image", (f"{i}.png", data, "image/png")) for i, data in enumerate(pictures)]


def build_service(load: FakePredictor | Callable[[Path, str], Any] | None = None, **settings: Any) -> Service:
    load = load or FakePredictor()
    loader = (lambda path, device: load) if isinstance(load, FakePredictor) else load
    return Service(Settings(**{"decode_threads": 1, **settings}), loader)


@dataclass
class Running:
    service: Service
    client: httpx.AsyncClient

    async def propose(self, data: bytes, **query: Any) -> httpx.Response:
        return await self.client.post("/propose", content=data, params=query, headers={"Content-Type": "image/png"})


@asynccontextmanager
async def running(
    load: FakePredictor | Callable[[Path, str], Any] | None = None, *, wait: bool = True, **settings: Any
) -> AsyncIterator[Running]:
    """The whole application in this event loop, its lifespan too, and a client; ready unless told not to wait."""
    service = build_service(load, **settings)
    app = create_app(service)
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state)}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=PATIENCE_S) as client:
            if wait:
                await until(lambda: service.lifecycle.phase is not Phase.LOADING)
            yield Running(service, client)


@contextmanager
def listening(fake: FakePredictor | None = None, **settings: Any) -> Iterator[tuple[Service, str, int]]:
    """The application behind a real server on a real socket, in a thread: (service, host, port)."""
    service = build_service(fake, **settings)
    listener = listen("127.0.0.1", 0)
    host, port = listener.getsockname()
    config = uvicorn.Config(
        create_app(service), http=BoundedHeads, ws="none", log_config=None, timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        until_now(lambda: service.lifecycle.phase is Phase.READY)
        yield service, host, port
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another task or thread brings about."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # conditions of other threads have no event to await
            await asyncio.sleep(0.005)


def until_now(condition: Callable[[], bool]) -> None:
    """As `until`, without an event loop."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.005)


def size_of(canvas: Canvas) -> ImageSize:
    return ImageSize(canvas.width, canvas.height)
