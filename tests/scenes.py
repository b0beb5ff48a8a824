"""Scenes drawn by code: coloured shapes on a textured ground, with their boxes, as COCO or PASCAL VOC on disk."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

# Classes in the order in which a data set's names are sorted.
CLASSES = ("ellipse", "rectangle")


def draw_scene(seed: int, width: int = 160, height: int = 120) -> tuple[Image.Image, list[list[float]]]:
    """A picture and its boxes as [x, y, width, height]; the same seed draws the same scene."""
    picture, boxes, _ = draw_named_scene(seed, width, height)
    return picture, boxes


def draw_named_scene(
    seed: int, width: int = 160, height: int = 120
) -> tuple[Image.Image, list[list[float]], list[str]]:
    """The same with the class of each box, one of `CLASSES`."""
    random = np.random.default_rng(seed)
    ground = random.integers(90, 130, (height, width, 3), dtype=np.uint8)
    picture = Image.fromarray(ground)
    draw = ImageDraw.Draw(picture)
    boxes, names = [], []
    for _ in range(int(random.integers(1, 5))):
        w, h = (int(v) for v in random.integers(16, 64, 2))
        x, y = int(random.integers(0, width - w)), int(random.integers(0, height - h))
        colour = tuple(int(v) for v in random.choice([20, 235], 3))
        name = CLASSES[0] if random.random() < 0.5 else CLASSES[1]
        getattr(draw, name)((x, y, x + w - 1, y + h - 1), fill=colour)
        boxes.append([float(x), float(y), float(w), float(h)])
        names.append(name)
    return picture, boxes, names


def write_coco(folder: Path, name: str, seeds: range, *, classes: bool = False, **size: int) -> Path:
    """Scenes as ``<folder>/<name>.json`` with their pictures in ``<folder>/images``, with or without their classes."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    content: dict[str, list[dict[str, object]]] = {"images": [], "annotations": []}
    if classes:
        content["categories"] = [{"id": 10 * i, "name": name} for i, name in enumerate(CLASSES, 1)]
    for seed in seeds:
        picture, boxes, names = draw_named_scene(seed, **size)
        file_name = f"scene_{seed}.png"
        picture.save(images / file_name)
        content["images"].append({"id": seed, "file_name": file_name, "width": picture.width, "height": picture.height})
        for box, shape in zip(boxes, names, strict=True):
            record = {"id": len(content["annotations"]), "image_id": seed, "bbox": box, "iscrowd": 0}
            if classes:
                record["category_id"] = 10 * (CLASSES.index(shape) + 1)
            content["annotations"].append(record)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def write_voc(folder: Path, name: str, seeds: range, *, classes: bool = False, **size: int) -> Path:
    """The same scenes as a split of a PASCAL VOC folder; the path of the split's list."""
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        picture, boxes, names = draw_named_scene(seed, **size)
        picture.save(folder / "JPEGImages" / f"scene_{seed}.jpg", quality=95)
        named = zip(boxes, names if classes else ["shape"] * len(boxes), strict=True)
        objects = "".join(voc_object(*box, name=shape) for box, shape in named)
        (folder / "Annotations" / f"scene_{seed}.xml").write_text(voc_xml(picture.width, picture.height, objects))
    path = folder / "ImageSets" / "Main" / f"{name}.txt"
    path.write_text("".join(f"scene_{seed}\n" for seed in seeds))
    return path


def voc_xml(width: int, height: int, objects: str = "") -> str:
    """One picture's annotation file."""
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>renamed.jpg</filename>{size}{objects}</annotation>\n"


def voc_object(x: float, y: float, width: float, height: float, difficult: int = 0, name: str = "shape") -> str:
    """An object at [x, y, width, height], written as VOC does: pixels counted from 1, both corners in the box."""
    corners = {"xmin": x + 1, "ymin": y + 1, "xmax": x + width, "ymax": y + height}
    box = "".join(f"<{key}>{value:g}</{key}>" for key, value in corners.items())
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>"
