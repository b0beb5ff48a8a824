"""GIF: the screen and its first frame."""

import struct
from collections.abc import Iterator

from model.imaging.containers.container import MOST_PARTS, Container, bounded
from model.structures import ImageSize

_EXTENSION, _IMAGE, _CONTROL, _HAS_PALETTE = 0x21, 0x2C, b"!\xf9", 0x80


def read_gif(data: bytes) -> Container:
    """The screen and the first frame; a frame that reaches beyond the screen widens it, as in Pillow and browsers."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + ((6 << (flags & 7)) if flags & _HAS_PALETTE else 0)
    head, control = data[:position], b""
    for start, end in bounded(_extensions(data, position), "extensions"):
        position = end
        if data[start:end][:2] == _CONTROL and end - start >= 8:  # a shorter one says nothing that Pillow could read
            control = data[start:end]
    if data[position] != _IMAGE:
        raise ValueError("it has no image")
    left, top, frame_width, frame_height = struct.unpack_from("<HHHH", data, position + 1)
    size = ImageSize(max(width, left + frame_width), max(height, top + frame_height))
    return Container(size, head + control + data[position:])


def _extensions(data: bytes, position: int) -> Iterator[tuple[int, int]]:
    """Where each extension before the first image starts and ends; stray zeros between them are passed over."""
    blocks = 0  # of all of them: each may be of one byte
    while data[position] in (_EXTENSION, 0):
        start = position
        if data[start] == _EXTENSION:
            position += 2
            while length := data[position]:
                position += length + 1
                blocks += 1
                if blocks > MOST_PARTS:
                    raise ValueError(f"its extensions have more than {MOST_PARTS:,} blocks")
        position += 1
        yield start, position
