"""TIFF, and the directory of tags that EXIF is laid out as, too."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from model.imaging.containers.container import Container
from model.structures import ImageSize

_MOST_TAGS = 4096  # of a directory
_MOST_STRIPS = 50_000  # or tiles; each costs Pillow some steps
_LARGEST_TILE = 2**24  # pixels of a tile, which is allocated whole however small the picture
_MOST_TILED = 4  # times the picture's pixels that all tiles may have, most of whose last row and column lie beyond it
_WIDTH, _HEIGHT, _COMPRESSION, _ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 259, 274, 322, 323
_PLACES = (273, 324)  # where the strips, where the tiles begin
_READ_HERE = {_WIDTH, _HEIGHT, _COMPRESSION, _ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT, *_PLACES}
_UNCOMPRESSED = 1
_WHOLE_NUMBERS = {3: "H", 4: "I", 8: "h", 9: "i", 16: "Q"}  # the types that Pillow, too, reads as such


@dataclass(frozen=True, slots=True)
class Tag:
    """An entry of a directory; ``layout`` is of all its values, for `struct`, empty if they are no whole numbers."""

    number: int
    count: int
    layout: str
    position: int

    def values(self, data: bytes) -> tuple[int, ...]:
        """The values, wherever in the file they lie."""
        return struct.unpack_from(self.layout, data, self.position)


def read_tiff(data: bytes) -> Container:
    """Untouched but looked at: its parts lie anywhere, and what they would cost is in the first directory."""
    tags: dict[int, Tag] = {}
    for tag in tiff_tags(data):
        if tag.number in tags and tag.number in _READ_HERE:  # Pillow and libtiff may differ on which of them holds
            raise ValueError(f"tag {tag.number} is given twice")
        tags[tag.number] = tag
    single = {number: tag.values(data)[0] for number, tag in tags.items() if tag.count == 1 and tag.layout}
    if _WIDTH not in single or _HEIGHT not in single:
        raise ValueError("it does not say how large it is")
    size = ImageSize(single[_WIDTH], single[_HEIGHT])
    _check_that_tiles_are_few(size, single.get(_TILE_WIDTH, 0), single.get(_TILE_HEIGHT, 0))
    for places in (tags[number] for number in _PLACES if number in tags):
        if places.count > _MOST_STRIPS:
            raise ValueError(f"it has {places.count:,} strips or tiles, more than {_MOST_STRIPS:,}")
        if places.layout and single.get(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED:
            _check_that_strips_lie_apart(places.values(data), size)
    return Container(size, data, sensible_orientation((single.get(_ORIENTATION, 1),)))


def _check_that_tiles_are_few(size: ImageSize, width: int, height: int) -> None:
    """Each is inflated whole, and all of them may be the same few bytes of the file."""
    if width <= 0 or height <= 0:  # it has none
        return
    tile = width * height
    if tile > max(_LARGEST_TILE, size.pixels):
        raise ValueError(f"its tiles have {tile:,} pixels")
    tiled = -(-size.width // width) * -(-size.height // height) * tile
    if tiled > max(_LARGEST_TILE, _MOST_TILED * size.pixels):
        raise ValueError(f"its tiles have {tiled:,} pixels together, of which it takes {size.pixels:,}")


def _check_that_strips_lie_apart(places: tuple[int, ...], size: ImageSize) -> None:
    """Pillow reads uncompressed strips in pieces as long as they lie apart, so they must not overlap by much.

    Of a picture without overlap the least distance is at least the bytes of a strip, at 8 pixels a byte or fewer.
    """
    apart = sorted(set(places))
    least = min((after - before for before, after in pairwise(apart)), default=size.pixels)
    if size.pixels > 8 * _MOST_STRIPS * least:
        raise ValueError(f"its strips or tiles overlap, {least} bytes from one to the next")


def tiff_tags(data: bytes) -> Iterator[Tag]:
    """The entries of the first directory."""
    order = "<" if data[:2] == b"II" else ">"
    (version,) = struct.unpack_from(order + "H", data, 2)
    big = version == 43
    pointer, room, head, width = ("Q", 8, "HHQ", 20) if big else ("I", 4, "HHI", 12)
    (position,) = struct.unpack_from(order + pointer, data, 8 if big else 4)
    (number,) = struct.unpack_from(order + ("Q" if big else "H"), data, position)
    if number > _MOST_TAGS:
        raise ValueError(f"its directory has {number:,} entries, more than {_MOST_TAGS:,}")
    position += 8 if big else 2
    for entry in range(position, position + number * width, width):
        tag, kind, count = struct.unpack_from(order + head, data, entry)
        if kind not in _WHOLE_NUMBERS:
            yield Tag(tag, count, "", entry)
            continue
        layout, here = f"{order}{count}{_WHOLE_NUMBERS[kind]}", entry + width - room
        if struct.calcsize(layout) > room:  # the values lie elsewhere
            (here,) = struct.unpack_from(order + pointer, data, here)
        yield Tag(tag, count, layout, here)


def sensible_orientation(values: tuple[int, ...]) -> int:
    """The one value if it is an orientation, else 1: as it is stored."""
    return values[0] if len(values) == 1 and 1 <= values[0] <= 8 else 1
