"""Pictures that are there twice: in a split, which doubles their weight, or in two, which makes figures false."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from model.training.faults import Fault, FaultKind
from model.training.records import PictureRecord


def name_faults(pictures: Sequence[PictureRecord]) -> Iterator[Fault]:
    """Records of one split that name a file which an earlier one has named: each one's objects are background in the
    other's."""
    seen: dict[Path, PictureRecord] = {}
    for picture in pictures:
        first = seen.setdefault(picture.path, picture)
        if first is not picture:
            detail = f"names {picture.path}, as does {first.where}"
            yield Fault(FaultKind.DUPLICATE_FILE_NAME, picture.file, picture.where, detail)


def pixel_faults(splits: Mapping[str, Sequence[PictureRecord]], digests: Mapping[Path, bytes]) -> Iterator[Fault]:
    """Records whose picture has the very pixels of an earlier record's: in its own split, under another file name, or
    in an earlier split, under any name."""
    seen: dict[bytes, list[tuple[str, PictureRecord]]] = {}
    for name, pictures in splits.items():
        for picture in pictures:
            if picture.path not in digests:
                continue
            twins = seen.setdefault(digests[picture.path], [])
            yield from _twin_faults(name, picture, twins)
            twins.append((name, picture))


def _twin_faults(name: str, picture: PictureRecord, twins: Sequence[tuple[str, PictureRecord]]) -> Iterator[Fault]:
    within = [twin for split, twin in twins if split == name]
    across = next(((split, twin) for split, twin in twins if split != name), None)
    if within and all(twin.path != picture.path for twin in within):
        detail = f"{picture.path} has the pixels of {within[0].path.name} ({within[0].where})"
        yield Fault(FaultKind.DUPLICATE_PICTURE, picture.file, picture.where, detail)
    if across is not None:
        split, twin = across
        detail = f"{picture.path} has the pixels of {twin.path.name} in {split} ({twin.where})"
        yield Fault(FaultKind.LEAK, picture.file, picture.where, detail)
