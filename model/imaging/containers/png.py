"""PNG: the chunks that decide on pixels, without texts, profiles and animation."""

import struct
import zlib
from collections.abc import Iterator

from model.imaging.containers.container import Container, bounded
from model.imaging.containers.exif import read_orientation
from model.structures import ImageSize

_KEPT = (b"PLTE", b"IDAT", b"IEND")
_GREY, _RGB, _PALETTE = 0, 2, 3


def read_png(data: bytes) -> Container:
    """The still picture of a PNG, which in an animated one is its stand-in or first frame."""
    kept, size, exif, depth, colour = [data[:8]], None, b"", 0, 0
    for kind, chunk in bounded(_chunks(data), "chunks"):
        if (kind == b"IHDR") is not (size is None):
            raise ValueError("IHDR must be the first chunk and the only one of its kind")
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", chunk, 8)
            size = ImageSize(width, height)
            kept.append(chunk)
        elif kind == b"tRNS":
            kept.append(_transparency(chunk[8:-4], depth, colour))
        elif kind == b"eXIf":
            exif = exif or chunk[8:-4]
        elif kind in _KEPT:
            kept.append(chunk)
    if size is None:
        raise ValueError("the data end too early")
    return Container(size, b"".join(kept), read_orientation(exif))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, data[position : position + length + 12]
        if kind == b"IEND":
            return
        position += length + 12


def _transparency(value: bytes, depth: int, colour: int) -> bytes:
    """The chunk with the transparent colour as Pillow's 8-bit samples have it; nothing where it is too short.

    Pillow widens samples of 2 and 4 bits and keeps the top 8 bits of 16, but compares with the colour as written.
    """
    samples = {_GREY: 1, _RGB: 3}.get(colour, 0)
    if len(value) < 2 * samples:
        return b""
    if colour == _PALETTE:
        value = value[:256]
    elif colour == _GREY and depth in (2, 4):
        (grey,) = struct.unpack_from(">H", value)
        value = struct.pack(">H", grey * 255 // (2**depth - 1))
    elif colour == _RGB and depth == 16:
        value = b"".join(bytes((0, high)) for high in value[:6:2])
    body = b"tRNS" + value
    return struct.pack(">I", len(value)) + body + struct.pack(">I", zlib.crc32(body))
