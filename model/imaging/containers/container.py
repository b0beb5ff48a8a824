"""What each format's reader returns, and the bound on what each of them walks through."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from model.structures import ImageSize

Part = TypeVar("Part")

# Far above any honest file's segments, chunks or blocks, and few enough to walk in a fraction of a second.
MOST_PARTS = 100_000


@dataclass(frozen=True, slots=True)
class Container:
    """``size`` is as stored, before ``orientation`` (EXIF, 1 to 8); ``essentials`` is a file of the same format."""

    size: ImageSize
    essentials: bytes
    orientation: int = 1


def bounded(parts: Iterable[Part], name: str) -> Iterator[Part]:
    """The parts, as far as an honest file's may go.

    Raises:
        ValueError: there are more.
    """
    for count, part in enumerate(parts):
        if count >= MOST_PARTS:
            raise ValueError(f"it has more than {MOST_PARTS:,} {name}")
        yield part
