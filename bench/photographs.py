"""Real photographs at whatever size is asked for: the examples side by side at their own scale.

Tiled, not enlarged: an enlarged photograph has little detail, and its JPEG would decode in less time than a camera's.
"""

import io
from itertools import cycle
from pathlib import Path

from PIL import Image

_EXAMPLES = Path(__file__).parent.parent / "examples"
_QUALITY = 88  # about what cameras and phones write
_SHIFT = 97  # pixels; a prime, so that no grid of blocks or strides falls on itself


def photograph(width: int, height: int, *, seed: int = 0) -> Image.Image:
    """An RGB picture of this size; another ``seed`` begins with another photograph, or at another place in it."""
    files = sorted(_EXAMPLES.glob("*.jpg"))
    begin = -_SHIFT * (seed // len(files))
    tiles = cycle([Image.open(file).convert("RGB") for file in (*files[seed % len(files) :], *files)])
    sheet = Image.new("RGB", (width, height))
    top = 0
    while top < height:
        left, row_height = begin, 0
        while left < width:
            tile = next(tiles)
            sheet.paste(tile, (left, top))
            left, row_height = left + tile.width, max(row_height, tile.height)
        top += row_height
    return sheet


def jpeg(picture: Image.Image, *, progressive: bool = False) -> bytes:
    """The picture as a JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, progressive=progressive)
    return buffer.getvalue()
