"""Make a COCO data set smaller, and harder: what shows small objects stays, and a share of the rest.

    python scripts/focus_small.py OUT --data persons --boxes 2 --height 0.15 --others 5

OUT holds the pictures of the train split with at least two boxes that are lower than 0.15 of their picture's longest
side, boxes to ignore not counted, and every fifth of the others, in their order; of val it holds all. So a training of
so many steps spends them where most is missed, and the others are still seen. The pictures are linked. What came of it
for pedestrian is in docs/training.md.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Content = Mapping[str, Any]


def focused(content: Content, *, boxes: int, height: float, others: int) -> dict[str, Any]:
    """The pictures with at least ``boxes`` boxes lower than ``height``, and every ``others``-th of those without.

    ``height`` is a share of a picture's longest side. Numbers and the order stay.
    """
    sides = {picture["id"]: max(picture["width"], picture["height"]) for picture in content["images"]}
    small = Counter(
        box["image_id"]
        for box in content["annotations"]
        if not (box.get("iscrowd") or box.get("ignore")) and box["bbox"][3] < height * sides.get(box["image_id"], 0)
    )
    rest = [number for number in sides if small[number] < boxes]
    kept = sides.keys() - set(rest) | set(rest[::others])
    return {
        **content,
        "images": [picture for picture in content["images"] if picture["id"] in kept],
        "annotations": [box for box in content["annotations"] if box["image_id"] in kept],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, write the folder."""
    parser = argparse.ArgumentParser(description="Keep what shows small objects, and a share of the rest.")
    parser.add_argument("out", type=Path, help="the folder to write, which must not be there")
    parser.add_argument("--data", type=Path, required=True, help="a folder with train.json, val.json and images/")
    parser.add_argument("--boxes", type=int, default=2, help="small boxes that keep a picture (default: %(default)s)")
    parser.add_argument(
        "--height",
        type=float,
        default=0.15,
        help="a box lower than this share of the longest side is small (default: %(default)s)",
    )
    parser.add_argument(
        "--others", type=int, default=5, metavar="N", help="of the other pictures each N-th (default: %(default)s)"
    )
    given = parser.parse_args(arguments)
    if given.boxes < 1 or given.others < 1:
        parser.error("--boxes and --others start at 1")
    train = focused(_read(given.data / "train.json"), boxes=given.boxes, height=given.height, others=given.others)
    val = _read(given.data / "val.json")
    try:
        given.out.mkdir(parents=True)
    except OSError as error:
        sys.exit(f"focus_small.py: {error}")
    (given.out / "images").symlink_to((given.data / "images").resolve())
    for split, content in (("train", train), ("val", val)):
        (given.out / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")
    print(f"{given.out}: {len(train['images'])} pictures to train on, {len(train['annotations'])} boxes")


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"focus_small.py: {path}: {error}")
    for name in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            sys.exit(f"focus_small.py: {path}: not a COCO instances file ({name!r} is no list)")
    return content


if __name__ == "__main__":
    main()
