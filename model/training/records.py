"""What an annotation file says, before it is judged: boxes as written, inside their picture or not."""

from dataclasses import dataclass
from pathlib import Path

from model.structures import ImageSize


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
