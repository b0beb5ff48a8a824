"""JPEG: segments up to the first end of picture."""

import re
import struct
from collections.abc import Iterator

from model.imaging.containers.container import Container, bounded
from model.imaging.containers.exif import PREFIX, read_orientation
from model.structures import ImageSize

_MOST_SCANS = 50  # a progressive JPEG has about ten; each costs a pass over all of the picture
SCAN, _END, _EXIF = 0xDA, 0xD9, 0xE1
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDD})  # Huffman, arithmetic, quantisation, restart interval
# What decides on the colours, and the bytes without which Pillow would fail on it rather than pass it over.
_COLOURS = ((b"\xff\xe0", b"JFIF\0", 18), (b"\xff\xee", b"Adobe", 16), (b"\xff\xe2", b"ICC_PROFILE\0", 18))
# 0xFF and a code, but for a stuffed 0xFF, a fill byte, and the markers that stand alone (TEM, restarts, start).
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")


def read_jpeg(data: bytes) -> Container:
    """The first picture of a JPEG; a multi-picture file (MPO) has further ones behind its end."""
    kept, size, exif, scans = [data[:2]], None, b"", 0
    for marker, segment in bounded(segments(data), "segments"):
        if marker in _FRAMES:
            if size is not None:
                raise ValueError("it has two frame headers")
            height, width = struct.unpack_from(">HH", segment, 5)
            size = ImageSize(width, height)
        elif marker == SCAN:
            scans += 1
        elif marker == _EXIF and segment[4:10] == PREFIX:
            exif = exif or segment[4:]
        if marker in _TABLES | _FRAMES | {SCAN, _END} or _decides_on_colours(segment):
            kept.append(segment)
    if size is None:
        raise ValueError("it has no frame header")
    if scans > _MOST_SCANS:
        raise ValueError(f"it has {scans:,} scans, more than {_MOST_SCANS}")
    return Container(size, b"".join(kept), read_orientation(exif))


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each marker with its segment, a scan's with its compressed data, as far as the first end of picture."""
    position = 2
    while found := _MARKER.search(data, position):
        marker, start, position = found[1][0], found.start(), found.end()
        if marker == _END:
            yield marker, data[start:position]
            return
        if position + 2 > len(data):
            return
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise ValueError(f"segment 0x{marker:02X} has no length")
        position += length
        if marker == SCAN:
            following = _MARKER.search(data, position)
            position = following.start() if following else len(data)
        yield marker, data[start:position]


def _decides_on_colours(segment: bytes) -> bool:
    return any(
        segment[:2] == marker and segment[4:].startswith(name) and len(segment) >= shortest
        for marker, name, shortest in _COLOURS
    )
