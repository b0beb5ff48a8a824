"""BMP: little but a header."""

import struct

from model.imaging.containers.container import Container
from model.structures import ImageSize

_ROOM = 4096  # for a palette that nothing points behind, and for codes that move and draw nothing
_RUN_LENGTHS = (1, 2)  # of 8 and of 4 bits


def read_bmp(data: bytes) -> Container:
    """Untouched, but for what lies behind the longest run-length coding: Pillow would walk on through it."""
    (header_size,) = struct.unpack_from("<I", data, 14)
    if header_size == 12:
        return Container(ImageSize(*struct.unpack_from("<HH", data, 18)), data)
    width, height, _, _, compression = struct.unpack_from("<iiHHI", data, 18)
    size = ImageSize(width, abs(height))  # a negative height: the rows run from the top
    if compression not in _RUN_LENGTHS:
        return Container(size, data)
    (pixels_at,) = struct.unpack_from("<I", data, 10)
    longest = 2 * (size.pixels + size.height)  # each pixel a run, each row an end
    return Container(size, data[: pixels_at + longest + _ROOM])
