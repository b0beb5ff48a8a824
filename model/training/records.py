"""What an annotation file says, before it is judged: boxes as written, inside their picture or not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.structures import ImageSize

# No format that is read has room for more, and what is far beyond it is no number that an array could hold.
LONGEST_SIDE = 2**32 - 1


@dataclass(frozen=True, slots=True)
class BoxRecord:
    """One box: ``where`` in its file, its corners (x1, y1, x2, y2), 0-based and exclusive, finite but not judged.

    ``ignored``: a region that is neither object nor background; ``category``: its name, None where it has none.
    """

    where: str
    corners: tuple[float, float, float, float]
    ignored: bool
    category: str | None


@dataclass(frozen=True, slots=True)
class PictureRecord:
    """One picture: ``where`` in the annotation file ``file``, its own file ``path``, its declared size, its boxes."""

    file: Path
    where: str
    path: Path
    size: ImageSize
    boxes: tuple[BoxRecord, ...]


@dataclass(frozen=True, slots=True)
class Records:
    """The usable pictures of a split in the order of its file, and the path of every picture that it names at all."""

    pictures: tuple[PictureRecord, ...] = ()
    named: frozenset[Path] = frozenset()


def picture_size(width: Any, height: Any) -> ImageSize:
    """The size that a record states, as it is written there.

    Raises:
        TypeError, ValueError, OverflowError: it is none that a picture can have.
    """
    size = ImageSize(int(width), int(height))
    if max(size.width, size.height) > LONGEST_SIDE:
        raise ValueError(f"no picture has a side of more than {LONGEST_SIDE:,} pixels")
    return size
