"""COCO's instances format to records: one JSON file a split, its pictures in a folder."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.structures import ImageSize
from model.training.faults import Fault, FaultKind, RecordError, Report, attempt
from model.training.records import LONGEST_SIDE, BoxRecord, PictureRecord, Records, picture_size

Key = int | float | str  # tables write 7 as 7.0, which is the same key


# COCO's own mark of a crowd, and what Detectron and mmdetection leave out: either way nobody says what is there.
_TO_IGNORE = ("iscrowd", "ignore")


def parse_coco(path: Path, images: Path, report: Report, *, boxes_wanted: bool = True) -> Records:
    """The records of a COCO instances file, in its order, pictures without boxes included.

    ``images`` is the folder of the pictures. Boxes marked ``iscrowd`` or ``ignore`` are regions to ignore. Every fault
    goes to ``report`` with the file and the record; where that returns, the record is left out and reading goes on. A
    list of pictures alone is a fault only where ``boxes_wanted``.
    """
    content = attempt(report, _load, path, boxes_wanted=boxes_wanted)
    if content is None:
        return Records()
    reader = _Reader(path, report, _categories(content, path, report))
    for i, record in enumerate(content["images"]):
        attempt(report, reader.add_image, f"images[{i}]", record, images)
    for i, record in enumerate(content["annotations"]):
        attempt(report, reader.add_box, f"annotations[{i}]", record)
    return reader.records()


@dataclass(slots=True)
class _Image:
    """What is known so far of one record of ``images``: its name or size may have been unusable."""

    where: str
    path: Path | None = None
    size: ImageSize | None = None
    boxes: list[BoxRecord] = field(default_factory=list)


class _Reader:
    def __init__(self, path: Path, report: Report, categories: Mapping[Key, str] | None) -> None:
        self.path = path
        self.report = report
        self.categories = categories
        self.images: dict[Key, _Image] = {}

    def add_image(self, where: str, record: Any, folder: Path) -> None:
        key = self._key(where, record, "id")
        if key in self.images:
            raise self._fault(FaultKind.DUPLICATE_ID, where, f"the id {key!r} is that of another record of images")
        # Known from here on, so that its boxes are not reported as well if the rest of it is unusable.
        image = self.images[key] = _Image(f"image {key!r}")
        name = self._field(image.where, record, "file_name")
        if not isinstance(name, str) or not name:
            raise self._fault(FaultKind.BAD_RECORD, image.where, f"file_name must be a text, not {name!r}")
        image.path = folder / name
        image.size = self._size(image.where, record)

    def add_box(self, where: str, record: Any) -> None:
        key = self._key(where, record, "image_id")
        if key not in self.images:
            raise self._fault(FaultKind.UNKNOWN_IMAGE, where, f"image_id {key!r} is in no record of images")
        corners = self._corners(where, record)
        box = BoxRecord(where, corners, self._is_ignored(where, record), self._category(where, record))
        self.images[key].boxes.append(box)

    def records(self) -> Records:
        pictures = tuple(
            PictureRecord(self.path, image.where, image.path, image.size, tuple(image.boxes))
            for image in self.images.values()
            if image.path is not None and image.size is not None
        )
        named = frozenset(image.path for image in self.images.values() if image.path is not None)
        return Records(pictures, named)

    def _key(self, where: str, record: Any, name: str) -> Key:
        if not isinstance(record, dict):
            raise self._fault(FaultKind.BAD_RECORD, where, f"must be an object, not {_shown(record)}")
        key = self._field(where, record, name)
        if not isinstance(key, Key):
            raise self._fault(FaultKind.BAD_RECORD, where, f"{name} must be a number or a text, not {_shown(key)}")
        return key

    def _size(self, where: str, record: dict[str, Any]) -> ImageSize:
        sides = self._field(where, record, "width"), self._field(where, record, "height")
        try:
            return picture_size(*sides)
        except (TypeError, ValueError, OverflowError) as error:  # null, a list, NaN, infinity, none of a picture's
            stated = f"{_shown(sides[0])} and {_shown(sides[1])}"
            detail = f"width and height must be whole numbers from 1 to {LONGEST_SIDE:,}, not {stated}"
            raise self._fault(FaultKind.BAD_RECORD, where, detail) from error

    def _corners(self, where: str, record: dict[str, Any]) -> tuple[float, float, float, float]:
        box = self._field(where, record, "bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
            detail = f"bbox must be four numbers [x, y, width, height], not {_shown(box)}"
            raise self._fault(FaultKind.BAD_RECORD, where, detail)
        try:
            x, y, width, height = (float(v) for v in box)
        except OverflowError:  # JSON's integers have no bound
            x = y = width = height = math.inf
        if not all(map(math.isfinite, (x, y, width, height))):
            raise self._fault(FaultKind.NON_FINITE_BOX, where, f"bbox {_shown(box)} is not finite")
        return x, y, x + width, y + height

    def _is_ignored(self, where: str, record: dict[str, Any]) -> bool:
        """Anything else than 0 or 1 would be a guess, and a box to ignore is a label lost."""
        marks = {name: record[name] for name in _TO_IGNORE if record.get(name) is not None}
        for name, value in marks.items():
            if not isinstance(value, int | float) or value not in (0, 1):
                raise self._fault(FaultKind.BAD_RECORD, where, f"{name} must be 0 or 1, not {_shown(value)}")
        return any(marks.values())

    def _category(self, where: str, record: dict[str, Any]) -> str | None:
        """The category's name. Class-agnostic training needs none, so an unknown one costs no box."""
        key = record.get("category_id")
        if key is None or self.categories is None:
            return None
        if not isinstance(key, Key) or key not in self.categories:
            detail = f"category_id {_shown(key)} is in no record of categories"
            self.report(Fault(FaultKind.UNKNOWN_CATEGORY, self.path, where, detail))
            return None
        return self.categories[key]

    def _field(self, where: str, record: dict[str, Any], key: str) -> Any:
        if key not in record:
            raise self._fault(FaultKind.BAD_RECORD, where, f"{key!r} is missing")
        return record[key]

    def _fault(self, kind: FaultKind, where: str, detail: str) -> RecordError:
        return RecordError(Fault(kind, self.path, where, detail))


def _load(path: Path, *, boxes_wanted: bool) -> dict[str, Any]:
    try:
        # utf-8-sig: some editors begin a file with a byte order mark, which JSON does not allow
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, f"not JSON ({error})") from error
    if not isinstance(content, dict):
        raise _unreadable(path, "not a COCO instances file (the top level is no object)")
    if not boxes_wanted:
        content.setdefault("annotations", [])
    for key in ("images", "annotations"):
        if not isinstance(content.get(key), list):
            raise _unreadable(path, f"not a COCO instances file ({key!r} is no list)")
    return content


def _unreadable(path: Path, detail: str) -> RecordError:
    return RecordError(Fault(FaultKind.UNREADABLE_ANNOTATIONS, path, "", detail))


def _categories(content: dict[str, Any], path: Path, report: Report) -> dict[Key, str] | None:
    """The names by id; None where the file has no such list, which a class-agnostic reader does not ask for."""
    records = content.get("categories")
    if not isinstance(records, list):
        return None
    names: dict[Key, str] = {}
    for i, record in enumerate(records):
        if not isinstance(record, dict) or not isinstance(record.get("id"), Key):
            continue
        key = record["id"]
        name = str(record.get("name", key))
        if names.setdefault(key, name) != name:
            detail = f"{name!r} has the id {_shown(key)} of {names[key]!r}, which its boxes are taken for"
            report(Fault(FaultKind.DUPLICATE_CATEGORY, path, f"categories[{i}]", detail))
    return names


def _shown(value: object) -> str:
    """A value for a message, which may come from anywhere and be of any length."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
