"""WebP: the size of its canvas, and its EXIF."""

import struct
from collections.abc import Iterator

from model.imaging.containers.container import Container, bounded
from model.imaging.containers.exif import read_orientation
from model.structures import ImageSize


def read_webp(data: bytes) -> Container:
    """Untouched: libwebp walks the container itself. Its decoder allocates the canvas at once, so the size is here."""
    kind = data[12:16]
    if kind == b"VP8X":
        (width,) = struct.unpack("<I", data[24:27] + b"\0")
        (height,) = struct.unpack("<I", data[27:30] + b"\0")
        size = ImageSize(width + 1, height + 1)
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        size = ImageSize((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    elif kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        size = ImageSize(width & 0x3FFF, height & 0x3FFF)
    else:
        raise ValueError("it has no image chunk")
    exif = next((body for name, body in bounded(_chunks(data), "chunks") if name == b"EXIF"), b"")
    return Container(size, data, read_orientation(exif))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        yield name, data[position + 8 : position + 8 + length]
        position += 8 + length + (length & 1)
