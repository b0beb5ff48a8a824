"""Make a COCO data set larger by another's pictures of one class.

    python scripts/gather_class.py OUT --base pedestrian --add general --class person --only 'coco_*'

OUT holds the base's pictures and boxes, and of the other's train split the pictures that show the class, with the
boxes of that class alone; with ``--background PATTERN`` those that show none of it, too, in which all is background: it
is for pictures whose boxes of the class are exhaustive. With ``--without person`` these are the pictures that show no
person, and the other need not know the class at all: where nobody is there is no face. What the base names in any split
is not taken again, be it in a test.json, which OUT does without: a picture in train and val would flatter. The pictures
are linked. So were the photographs put together that pedestrian and face were last trained on.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

_WITH_CLASSES = ("images", "annotations", "categories")

Content = Mapping[str, Any]


def gathered(
    base: Content, other: Content, name: str, *, only: str, taken: set[str], background: str = "", without: str = ""
) -> dict[str, Any]:
    """The base's records and those of the other that show the class, numbered anew; names in ``taken`` are left out.

    ``only``: a pattern, as in `fnmatch`, that a file's name has to match; ``background``: one for pictures that have no
    box of the class, or else of the class ``without``, not even one to ignore, which are taken as well.

    Raises:
        ValueError: the base has no such class, or the other not that one which its pictures are told by.
    """
    ours = _class_id(base, name)
    absent = _boxes_of(other, without or name)
    boxes = [] if without and not _knows(other, name) else _boxes_of(other, name)
    shown = {box["image_id"] for box in boxes if not (box.get("iscrowd") or box.get("ignore"))}
    empty = {picture["id"] for picture in other["images"]} - {box["image_id"] for box in (*absent, *boxes)}
    patterns = dict.fromkeys(empty, background) | dict.fromkeys(shown, only)
    pictures = [
        picture
        for picture in other["images"]
        if picture["id"] in patterns
        and picture["file_name"] not in taken
        and fnmatchcase(picture["file_name"], patterns[picture["id"]])
    ]
    images, annotations = list(base["images"]), list(base["annotations"])
    first_image, first_box = _first_free(images), _first_free(annotations)
    numbers = {picture["id"]: first_image + i for i, picture in enumerate(pictures)}
    images += [{**picture, "id": numbers[picture["id"]]} for picture in pictures]
    added = [box for box in boxes if box["image_id"] in numbers]
    annotations += [
        {**box, "id": first_box + i, "image_id": numbers[box["image_id"]], "category_id": ours}
        for i, box in enumerate(added)
    ]
    return {**base, "images": images, "annotations": annotations}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, write the folder."""
    parser = argparse.ArgumentParser(description="Make a COCO data set larger by another's pictures of one class.")
    parser.add_argument("out", type=Path, help="the folder to write, which must not be there")
    parser.add_argument("--base", type=Path, required=True, help="a folder with train.json, val.json and images/")
    parser.add_argument("--add", type=Path, required=True, help="another, of which train.json is taken")
    parser.add_argument("--class", dest="name", required=True, help="the class that is taken, by its name in both")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="only pictures whose file names match")
    parser.add_argument("--background", default="", metavar="PATTERN", help="and those without it that match this")
    parser.add_argument("--without", default="", metavar="CLASS", help="told by this class (default: the one taken)")
    given = parser.parse_args(arguments)
    if given.without and not given.background:
        parser.error("--without says which pictures are background: name them by --background")
    train, val = _read(given.base / "train.json", _WITH_CLASSES), _read(given.base / "val.json")
    test = given.base / "test.json"
    held_back = [val, _read(test)] if test.is_file() else [val]
    named = {name for content in (train, *held_back) for name in _names(content)}
    try:
        made = gathered(
            train,
            _read(given.add / "train.json", _WITH_CLASSES),
            given.name,
            only=given.only,
            taken=named,
            background=given.background,
            without=given.without,
        )
        links = {name: given.base if name in named else given.add for name in (*_names(made), *_names(val))}
        _write(given.out, {"train": made, "val": val}, links)
    except (ValueError, OSError) as error:
        sys.exit(f"gather_class.py: {error}")
    print(f"{given.out}: {len(made['images'])} pictures to train on, {len(made['annotations'])} boxes")


def _names(content: Content) -> list[str]:
    return [image["file_name"] for image in content["images"]]


def _write(out: Path, splits: Mapping[str, Content], pictures: Mapping[str, Path]) -> None:
    """``pictures``: the folder that each is taken from, by its name, once however many records have it."""
    (out / "images").mkdir(parents=True)
    for split, content in splits.items():
        (out / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")
    for name, folder in pictures.items():
        link = out / "images" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((folder / "images" / name).resolve())


def _first_free(records: Sequence[Content]) -> int:
    """A number above all ids; those that are no numbers cannot be met, and boxes may do without."""
    ids = (record.get("id") for record in records)
    return 1 + max(
        (int(number) for number in ids if isinstance(number, int | float) and math.isfinite(number)), default=0
    )


def _boxes_of(content: Content, name: str) -> list[dict[str, Any]]:
    number = _class_id(content, name)
    return [box for box in content["annotations"] if box.get("category_id") == number]


def _knows(content: Content, name: str) -> bool:
    return any(category["name"] == name for category in content["categories"])


def _class_id(content: Content, name: str) -> object:
    for category in content["categories"]:
        if category["name"] == name:
            return category["id"]
    raise ValueError(f"no class {name!r} among {', '.join(category['name'] for category in content['categories'])}")


def _read(path: Path, lists: Iterable[str] = ("images",)) -> dict[str, Any]:
    """A split's content, which holds lists of these names; otherwise that is said, and the script ends."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"gather_class.py: {path}: {error}")
    for name in lists:
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            sys.exit(f"gather_class.py: {path}: not a COCO instances file ({name!r} is no list)")
    return dict(content)


if __name__ == "__main__":
    main()
