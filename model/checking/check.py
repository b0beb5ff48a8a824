"""A data set's faults, all of them: the records, their boxes, the picture files, and what is there twice."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from model.checking.boxes import BoxRules, box_faults
from model.checking.duplicates import name_faults, pixel_faults
from model.checking.pictures import PictureFacts, inspect_pictures, picture_fault
from model.checking.report import DataReport
from model.checking.statistics import measure
from model.training.annotations import annotated
from model.training.faults import Fault, FaultKind
from model.training.records import PictureRecord, Records
from model.training.splits import TRAINED_ON, parse_split, picture_folder, split_file, split_files

_OFTEN_WITHOUT_BOXES = "test"  # a split that no training reads
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class _Splits:
    """What was read: each split's records, by its name, and the folders that the pictures should be in."""

    records: Mapping[str, Records]
    folders: frozenset[Path]

    def pictures(self) -> Iterator[PictureRecord]:
        for records in self.records.values():
            yield from records.pictures


def check_data(
    path: Path, images: Path | None, rules: BoxRules, *, workers: int = 4, progress: bool = True
) -> DataReport:
    """Check a split's file, or every split of a folder, against itself and the others.

    ``images`` is where the pictures lie, if not in the layout's own place.

    Raises:
        DataError: ``path`` is a folder without a data set. Anything else that is wrong is in the report.
    """
    files = split_files(path)
    faults: list[Fault] = []
    splits = _Splits(
        {
            name: parse_split(file, images, faults.append, boxes_wanted=name != _OFTEN_WITHOUT_BOXES)
            for name, file in files.items()
        },
        frozenset(picture_folder(file, images) for file in files.values()),
    )
    facts = inspect_pictures((p.path for p in splits.pictures()), workers=workers, progress=progress)
    unread = {fault.file for fault in faults if fault.kind is FaultKind.UNREADABLE_ANNOTATIONS}
    faults += _split_faults(path, {name: file for name, file in files.items() if file not in unread}, splits)
    faults += _record_faults(splits, facts, rules)
    faults += _duplicate_faults(splits, facts)
    faults += _unnamed_faults(splits)
    statistics = {name: measure(records.pictures) for name, records in splits.records.items()}
    return DataReport(files, statistics, faults)


def _split_faults(path: Path, files: Mapping[str, Path], splits: _Splits) -> Iterator[Fault]:
    """What makes a whole split useless: training stops at it, or learns that nothing is an object."""
    if path.is_dir():
        wanted = [split_file(path, name) for name in TRAINED_ON]
        absent = [file for file in wanted if not file.is_file()]
        if len(absent) < len(wanted):  # with neither of them it is a set to measure on
            yield from (Fault(FaultKind.NO_SPLIT, file, "", "is not there") for file in absent)
    for name, file in files.items():
        if name == _OFTEN_WITHOUT_BOXES:
            continue
        pictures = splits.records[name].pictures
        if not pictures:
            yield Fault(FaultKind.NO_PICTURES, file, "", "no picture of it can be used")
        elif not any(len(annotated(picture).boxes) for picture in pictures):
            yield Fault(FaultKind.NO_OBJECTS, file, "", "none of its pictures has a box that is an object")


def _record_faults(splits: _Splits, facts: Mapping[Path, PictureFacts], rules: BoxRules) -> Iterator[Fault]:
    for picture in splits.pictures():
        if fault := picture_fault(picture, facts[picture.path]):
            yield fault
        yield from box_faults(picture, rules)
        if not len(annotated(picture).boxes):
            yield Fault(FaultKind.NO_BOXES, picture.file, picture.where, f"{picture.path.name} has none")


def _duplicate_faults(splits: _Splits, facts: Mapping[Path, PictureFacts]) -> Iterator[Fault]:
    for records in splits.records.values():
        yield from name_faults(records.pictures)
    digests = {path: found.digest for path, found in facts.items() if found.digest is not None}
    yield from pixel_faults({name: records.pictures for name, records in splits.records.items()}, digests)


def _unnamed_faults(splits: _Splits) -> Iterator[Fault]:
    named = frozenset[Path]().union(*(records.named for records in splits.records.values()))
    for folder in sorted(splits.folders):
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in _SUFFIXES and path not in named:
                yield Fault(FaultKind.UNNAMED_PICTURE, path, "", "in no record")
