"""Encoded pictures to pixels on their canvas, in a few worker threads of their own."""

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from model.imaging.canvas import InputRule, draw_on_canvas, left_to_draw
from model.imaging.decoding import Header, Picture
from model.structures import PixelArray, Placement
from service.admission import refuse_in_vain
from service.pace import Pace


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A picture ready for the network.

    ``pixels``: uint8 (H, W, 3), which fill its canvas or, for a model that ``draws``, are the picture as decoded.
    """

    header: Header
    placement: Placement
    pixels: PixelArray
    wait_ms: float
    decode_ms: float


class Decoder:
    """The decoding threads. Pillow lets go of the interpreter's lock while it decodes and resizes."""

    def __init__(self, *, threads: int, max_pixels: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._max_pixels = max_pixels
        self._pace = Pace(lanes=threads, batch=1)
        self._in_hand = 0

    async def decode(
        self,
        data: bytes,
        rule: InputRule,
        *,
        draws: bool = False,
        asked_at: float | None = None,
        deadline: float = math.inf,
    ) -> DecodedPicture:
        """Check the header, then decode; if the awaiting task is cancelled before its turn, no work is done.

        ``draws``: the model lays pictures on their canvas itself. ``asked_at``: since when the picture has waited, by
        `time.perf_counter`; None for now. ``deadline``: on the event loop's clock.

        Raises:
            Overloaded: the pictures before it take longer than the deadline allows.
            PictureError: unsupported, too many declared pixels, or undecodable.
        """
        if self._in_hand:
            refuse_in_vain(self._pace.seconds_for(self._in_hand + 1), deadline)
        job = _Job(data, rule, self._max_pixels, draws, time.perf_counter() if asked_at is None else asked_at)
        self._in_hand += 1
        try:
            decoded = await asyncio.get_running_loop().run_in_executor(self._threads, job)
        finally:
            self._in_hand -= 1
            job.forget()
        self._pace.measured(decoded.decode_ms / 1000)
        return decoded

    def close(self) -> None:
        """Finish the picture in hand and end the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclass(slots=True)
class _Job:
    """One picture's turn. Those whose callers have gone stay in the threads' queue until it comes, without their bytes:
    these are no longer counted among what the service holds."""

    data: bytes
    rule: InputRule
    max_pixels: int
    draws: bool
    asked_at: float

    def __call__(self) -> DecodedPicture:
        wait_ms = (time.perf_counter() - self.asked_at) * 1000
        return decode_picture(self.data, self.rule, self.max_pixels, draws=self.draws, wait_ms=wait_ms)

    def forget(self) -> None:
        self.data = b""


def decode_picture(
    data: bytes, rule: InputRule, max_pixels: int, *, draws: bool = False, wait_ms: float = 0.0
) -> DecodedPicture:
    """Check the header, decode, and unless the model draws, lay on the canvas, in the calling thread.

    Raises:
        PictureError: unsupported, too many declared pixels, or undecodable.
    """
    started = time.perf_counter()
    picture = Picture(data, max_pixels=max_pixels)
    placement = rule.place(picture.header.size)
    decoded = picture.decode_scaled(at_least=placement.content)
    lay = left_to_draw if draws else draw_on_canvas
    pixels = lay(decoded.image, placement, decoded.part)
    decode_ms = (time.perf_counter() - started) * 1000
    return DecodedPicture(picture.header, placement, pixels, wait_ms, decode_ms)
