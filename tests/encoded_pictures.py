"""Encoded pictures made by code: of every format, and built by hand where Pillow writes no such file."""

import io
import struct
import zlib
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

WHITE, BLACK, RED, GREEN, BLUE = (255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """An image as Pillow writes it; a copy of it, for Pillow leaves one format's settings behind for the next."""
    buffer = io.BytesIO()
    image.copy().save(buffer, kind, **options)
    return buffer.getvalue()


def colour_chart(width: int = 6, height: int = 4) -> Image.Image:
    """An RGB picture in which no two pixels are alike and no turn or flip leaves it as it was."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack((x * 40, y * 60, x * 7 + y * 31), axis=-1).astype(np.uint8))


def smooth(width: int = 48, height: int = 36) -> Image.Image:
    """An RGB picture of soft gradients, that lossy formats keep well."""
    y, x = np.mgrid[:height, :width]
    channels = (x * 255 / width, y * 255 / height, 255 - x * 255 / width)
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def exif_with(orientation: int) -> bytes:
    """An EXIF block that says only this."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def png_chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int,
    height: int,
    depth: int,
    colour: int,
    rows: Iterable[bytes],
    before: Iterable[bytes] = (),
    after: Iterable[bytes] = (),
) -> bytes:
    """A PNG of packed rows, with further chunks ``before`` and ``after`` its data."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"".join((b"\x89PNG\r\n\x1a\n", header, *before, data, *after, png_chunk(b"IEND")))


def tiff(tags: dict[int, tuple[str, list[int]]], pixels: bytes, order: str = "<", big: bool = False) -> bytes:
    """A TIFF of one strip, laid behind the directory; ``tags``: the number to a `struct` letter and the values.

    What is usual is added: the strip's place, and one sample per pixel, uncompressed, black is zero.
    """
    usual = {259: ("H", [1]), 262: ("H", [1]), 273: ("I", [0]), 277: ("H", [1]), 279: ("I", [len(pixels)])}
    entries = dict(sorted((usual | tags).items()))
    if 324 in entries:
        del entries[273], entries[279]
    start, width, room, pointer = (16, 20, 8, "Q") if big else (8, 12, 4, "I")
    body_at = start + (8 if big else 2) + width * len(entries) + room
    types = {"B": 1, "s": 2, "H": 3, "I": 4, "f": 11, "Q": 16}
    directory, body = struct.pack(order + ("Q" if big else "H"), len(entries)), b""
    lengths = [struct.calcsize(f"{len(values)}{letter}") for letter, values in entries.values()]
    pixels_at = body_at + sum(length for length in lengths if length > room)
    for tag, (letter, values) in entries.items():
        here = [pixels_at] if tag in (273, 324) and values == [0] else values
        raw = struct.pack(f"{order}{len(here)}{letter}", *here)
        if len(raw) > room:
            raw, body = struct.pack(order + pointer, body_at + len(body)), body + raw
        directory += struct.pack(f"{order}HH{pointer}", tag, types[letter], len(here)) + raw.ljust(room, b"\0")
    head = struct.pack(f"{order}2sHHHQ", b"", 43, 8, 0, 16) if big else struct.pack(f"{order}2sHI", b"", 42, 8)
    return (b"II" if order == "<" else b"MM") + head[2:] + directory + b"\0" * room + body + pixels


def bmp(
    width: int,
    height: int,
    bits: int,
    rows: bytes,
    palette: bytes = b"",
    compression: int = 0,
    masks: bytes = b"",
    header_size: int = 40,
) -> bytes:
    """A BMP; a negative height means rows from the top, a ``header_size`` of 12 the old OS/2 header."""
    if header_size == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        colours = len(palette) // 4
        fields = (header_size, width, height, 1, bits, compression, len(rows), 2835, 2835, colours, 0)
        header = struct.pack("<IiiHHIIiiII", *fields)
        header += masks if header_size == 40 else masks.ljust(header_size - 40, b"\0")
    offset = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + header + palette + rows


def jpeg_segment(marker: int, body: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """A JPEG with further segments right behind its start."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def without_segment(jpeg: bytes, marker: int) -> bytes:
    start = jpeg.index(bytes((0xFF, marker)))
    return jpeg[:start] + jpeg[start + 2 + struct.unpack_from(">H", jpeg, start + 2)[0] :]


def several(kind: str, frames: list[Image.Image], **options: Any) -> bytes:
    """Frames of an animation, pages, or the pictures of a multi-picture JPEG."""
    return encode(frames[0], kind, save_all=True, append_images=[frame.copy() for frame in frames[1:]], **options)


@cache
def one_of_each() -> dict[str, bytes]:
    """Small sound files, one for each way that a format stores its pixels, by a name that begins with the format."""
    picture = smooth()
    grey, palette, turned = picture.convert("L"), picture.quantize(64), picture.transpose(Image.Transpose.ROTATE_180)
    alpha = picture.copy()
    alpha.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    exif = exif_with(6)
    return {
        "JPEG": encode(picture, "JPEG", quality=90, exif=exif),
        "JPEG progressive": encode(picture, "JPEG", quality=90, progressive=True),
        "JPEG 4:1:1": encode(picture, "JPEG", quality=90, subsampling="4:1:1"),
        "JPEG grey": encode(grey, "JPEG"),
        "JPEG CMYK": encode(picture.convert("CMYK"), "JPEG"),
        "JPEG of two pictures": several("MPO", [picture, turned]),
        "PNG": encode(picture, "PNG", exif=exif),
        "PNG palette": encode(palette, "PNG", transparency=3),
        "PNG alpha": encode(alpha, "PNG"),
        "PNG 16-bit": encode(deep, "PNG"),
        "PNG animated": several("PNG", [picture, turned]),
        "WEBP": encode(picture, "WEBP", quality=90, exif=exif),
        "WEBP lossless alpha": encode(alpha, "WEBP", lossless=True),
        "WEBP animated": several("WEBP", [picture, turned]),
        "GIF": encode(palette, "GIF"),
        "GIF animated": several("GIF", [palette, turned.quantize(64)], disposal=2, transparency=5),
        "BMP": encode(picture, "BMP"),
        "BMP palette": encode(palette, "BMP"),
        "BMP run-length": bmp(4, 2, 8, b"\2\0\2\1\0\0\1\1\3\0\0\1", palette=bytes(range(16)), compression=1),
        "TIFF": encode(picture, "TIFF", tiffinfo={274: 6}),
        "TIFF LZW": encode(picture, "TIFF", compression="tiff_lzw"),
        "TIFF JPEG": encode(picture, "TIFF", compression="jpeg"),
        "TIFF G4": encode(picture.convert("1"), "TIFF", compression="group4"),
        "TIFF deep": encode(deep, "TIFF", compression="tiff_deflate"),
        "TIFF float": encode(Image.fromarray(np.asarray(grey).astype(np.float32)), "TIFF"),
        "TIFF CMYK": encode(picture.convert("CMYK"), "TIFF"),
        "TIFF big": encode(picture, "TIFF", big_tiff=True),
        "TIFF pages": several("TIFF", [picture, turned]),
    }
