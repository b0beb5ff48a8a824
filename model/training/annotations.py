"""Annotations in COCO's instances format, read once and checked, class-agnostic."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.errors import DataError
from model.structures import FloatArray, ImageSize


@dataclass(frozen=True, slots=True)
class AnnotatedPicture:
    """One picture and its boxes, in the pixels of the upright picture.

    ``boxes``: float32 (G, 4) ``xyxy``; ``ignored``: float32 (I, 4), regions that are neither object nor background
    (COCO's ``iscrowd``).
    """

    path: Path
    size: ImageSize
    boxes: FloatArray
    ignored: FloatArray


def read_coco(path: Path, images: Path | None = None) -> list[AnnotatedPicture]:
    """The pictures of a COCO instances file, in the order of the file, pictures without boxes included.

    ``images`` is where the pictures lie; by default the folder ``images`` beside the file.

    Raises:
        DataError: naming the file and the record that cannot be used.
    """
    folder = images if images is not None else path.parent / "images"
    content = _load(path)
    pictures = {_field(p, "id", path, f"images[{i}]"): p for i, p in enumerate(_list(content, "images", path))}
    grouped: dict[Any, list[tuple[list[float], bool]]] = {key: [] for key in pictures}
    for i, record in enumerate(_list(content, "annotations", path)):
        where = f"annotations[{i}]"
        key = _field(record, "image_id", path, where)
        if key not in grouped:
            raise DataError(f"{path}: {where}: image_id {key!r} is in no record of images")
        grouped[key].append((_corners(record, path, where), bool(record.get("iscrowd", 0))))
    return [_picture(pictures[key], boxes, folder, path) for key, boxes in grouped.items()]


def _picture(
    record: dict[str, Any], boxes: list[tuple[list[float], bool]], folder: Path, path: Path
) -> AnnotatedPicture:
    where = f"image {record['id']!r}"
    name = _field(record, "file_name", path, where)
    try:
        size = ImageSize(int(_field(record, "width", path, where)), int(_field(record, "height", path, where)))
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {where}: {error}") from error
    return AnnotatedPicture(
        path=folder / name,
        size=size,
        boxes=_stack([box for box, ignored in boxes if not ignored], size),
        ignored=_stack([box for box, ignored in boxes if ignored], size),
    )


def _stack(boxes: list[list[float]], size: ImageSize) -> FloatArray:
    """Boxes clipped to the picture; one with no area left could be matched by nothing and is dropped."""
    array = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    array[:, 0::2] = array[:, 0::2].clip(0, size.width)
    array[:, 1::2] = array[:, 1::2].clip(0, size.height)
    return array[(array[:, 2] > array[:, 0]) & (array[:, 3] > array[:, 1])]


def _corners(record: dict[str, Any], path: Path, where: str) -> list[float]:
    box = _field(record, "bbox", path, where)
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
        raise DataError(f"{path}: {where}: bbox must be four numbers [x, y, width, height], not {box!r}")
    x, y, width, height = (float(v) for v in box)
    if not np.isfinite([x, y, width, height]).all():
        raise DataError(f"{path}: {where}: bbox {box!r} is not finite")
    return [x, y, x + width, y + height]


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: not a COCO instances file (the top level is no object)")
    return content


def _list(content: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    records = content.get(key)
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise DataError(f"{path}: not a COCO instances file ({key!r} is no list of objects)")
    return records


def _field(record: dict[str, Any], key: str, path: Path, where: str) -> Any:
    if key not in record:
        raise DataError(f"{path}: {where}: {key!r} is missing")
    return record[key]
