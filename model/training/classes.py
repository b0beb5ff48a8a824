"""The classes of a data set: their names, and the numbers that a detector learns in their place."""

from collections.abc import Sequence

import numpy as np

from model.errors import DataError
from model.structures import LabelArray
from model.training.annotations import AnnotatedPicture

# Fast R-CNN's (section 2.1): class 0 is what is none of them, so the data's own count from 1.
BACKGROUND_CLASS = 0


def class_names(pictures: Sequence[AnnotatedPicture]) -> tuple[str, ...]:
    """The names of all boxes' classes, sorted: the same list from any order of the pictures, from COCO and from VOC.

    Raises:
        DataError: a box has no class, or there are no boxes; the message names the picture.
    """
    names: set[str] = set()
    for picture in pictures:
        for number, name in enumerate(picture.classes, 1):
            if name is None:
                raise DataError(
                    f"{_where(picture)}: its box {number}, of those to learn from, has no class, which a detector is "
                    "trained on"
                )
            names.add(name)
    if not names:
        raise DataError(f"the {len(pictures)} training pictures have no box, and so no class, to train a detector on")
    return tuple(sorted(names))


def labels_of(picture: AnnotatedPicture, classes: Sequence[str]) -> LabelArray:
    """The boxes' labels, int64 (G,): the place of each one's name in ``classes``, counted from 1.

    Raises:
        DataError: a box's class is none of them; the message names the picture and the class.
    """
    places = {name: place for place, name in enumerate(classes, BACKGROUND_CLASS + 1)}
    if foreign := [name for name in picture.classes if name not in places]:
        raise DataError(f"{_where(picture)}: class {foreign[0]!r} is none of the {len(classes)} that are trained")
    return np.array([places[name] for name in picture.classes if name is not None], dtype=np.int64)


def _where(picture: AnnotatedPicture) -> str:
    return f"{picture.record}: {picture.path.name}" if picture.record else str(picture.path)
