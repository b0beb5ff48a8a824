"""Annotated pictures as training and evaluation take them, from COCO or PASCAL VOC, checked."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.errors import DataError
from model.structures import FloatArray, ImageSize
from model.training.faults import stop
from model.training.records import BoxRecord, PictureRecord
from model.training.splits import parse_split, split_file


@dataclass(frozen=True, slots=True)
class AnnotatedPicture:
    """One picture and its boxes, in the pixels of the upright picture.

    ``boxes``: float32 (G, 4) ``xyxy``; ``ignored``: float32 (I, 4), regions that are neither object nor background
    (COCO's ``iscrowd``, VOC's ``difficult``); ``classes``: the G names of the boxes' classes, None where a box has
    none. Proposals are class-agnostic: only a detector's training asks for classes. ``record``: where it is annotated,
    for messages.
    """

    path: Path
    size: ImageSize
    boxes: FloatArray
    ignored: FloatArray
    classes: tuple[str | None, ...] = ()
    record: str = ""


def read_annotations(path: Path, images: Path | None = None, *, split: str = "val") -> list[AnnotatedPicture]:
    """The pictures of a split in the order of its file, pictures without boxes included.

    ``path`` is a COCO instances file, the list of a VOC split (``ImageSets/Main/val.txt``), or a folder of either
    layout, of which ``split`` is read. ``images`` is where the pictures lie, if not in the layout's own place.

    Raises:
        DataError: naming the file and the record that cannot be used.
    """
    records = parse_split(split_file(path, split), images, stop)
    return [annotated(picture) for picture in records.pictures]


def read_measurable(path: Path, images: Path | None = None) -> list[AnnotatedPicture]:
    """As `read_annotations`, for whoever measures what is found of the boxes.

    Raises:
        DataError: there is no box to find, or a file or a record cannot be used.
    """
    pictures = read_annotations(path, images)
    if not any(len(picture.boxes) for picture in pictures):
        raise DataError(f"{path}: none of its pictures has a box to find")
    return pictures


def annotated(picture: PictureRecord) -> AnnotatedPicture:
    """A record as training sees it: boxes clipped to the picture, those with no area left dropped."""
    objects = [box for box in picture.boxes if not box.ignored]
    boxes, kept = _clipped(objects, picture.size)
    ignored, kept_ignored = _clipped((box for box in picture.boxes if box.ignored), picture.size)
    return AnnotatedPicture(
        path=picture.path,
        size=picture.size,
        boxes=boxes[kept],
        ignored=ignored[kept_ignored],
        classes=tuple(box.category for box, keep in zip(objects, kept, strict=True) if keep),
        record=f"{picture.file}: {picture.where}",
    )


def _clipped(boxes: Iterable[BoxRecord], size: ImageSize) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Boxes clipped to the picture, and which have area left: what has none could be matched by nothing."""
    array = np.asarray([box.corners for box in boxes], dtype=np.float32).reshape(-1, 4)
    array[:, 0::2] = array[:, 0::2].clip(0, size.width)
    array[:, 1::2] = array[:, 1::2].clip(0, size.height)
    return array, (array[:, 2] > array[:, 0]) & (array[:, 3] > array[:, 1])
