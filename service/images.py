"""Encoded pictures to pixels on their canvas, in a few worker threads of their own."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from model.imaging.canvas import InputRule, draw_on_canvas, left_to_draw
from model.imaging.decoding import Header, Picture
from model.structures import PixelArray, Placement


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

    async def decode(
        self, data: bytes, rule: InputRule, *, draws: bool = False, asked_at: float | None = None
    ) -> DecodedPicture:
        """Check the header, then decode; if the awaiting task is cancelled before its turn, no work is done.

        ``draws``: the model lays pictures on their canvas itself. ``asked_at``: since when the picture has waited, by
        `time.perf_counter`; None for now.

        Raises:
            PictureError: unsupported, too many declared pixels, or undecodable.
        """
        loop = asyncio.get_running_loop()
        asked_at = time.perf_counter() if asked_at is None else asked_at
        return await loop.run_in_executor(self._threads, self._decode, data, rule, draws, asked_at)

    def close(self) -> None:
        """Finish the picture in hand and end the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _decode(self, data: bytes, rule: InputRule, draws: bool, asked_at: float) -> DecodedPicture:
        wait_ms = (time.perf_counter() - asked_at) * 1000
        return decode_picture(data, rule, self._max_pixels, draws=draws, wait_ms=wait_ms)


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
    decoded = picture.decode(at_least=placement.content)
    pixels = left_to_draw(decoded, placement) if draws else draw_on_canvas(decoded, placement)
    decode_ms = (time.perf_counter() - started) * 1000
    return DecodedPicture(picture.header, placement, pixels, wait_ms, decode_ms)
