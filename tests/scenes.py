"""Scenes drawn by code: coloured shapes on a textured ground, with their boxes, as COCO files on disk."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def draw_scene(seed: int, width: int = 160, height: int = 120) -> tuple[Image.Image, list[list[float]]]:
    """A picture and its boxes as [x, y, width, height]; the same seed draws the same scene."""
    random = np.random.default_rng(seed)
    ground = random.integers(90, 130, (height, width, 3), dtype=np.uint8)
    picture = Image.fromarray(ground)
    draw = ImageDraw.Draw(picture)
    boxes = []
    for _ in range(int(random.integers(1, 5))):
        w, h = (int(v) for v in random.integers(16, 64, 2))
        x, y = int(random.integers(0, width - w)), int(random.integers(0, height - h))
        colour = tuple(int(v) for v in random.choice([20, 235], 3))
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((x, y, x + w - 1, y + h - 1), fill=colour)
        boxes.append([float(x), float(y), float(w), float(h)])
    return picture, boxes


def write_coco(folder: Path, name: str, seeds: range, **size: int) -> Path:
    """Scenes as ``<folder>/<name>.json`` with their pictures in ``<folder>/images``."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    content: dict[str, list[dict[str, object]]] = {"images": [], "annotations": []}
    for seed in seeds:
        picture, boxes = draw_scene(seed, **size)
        file_name = f"scene_{seed}.png"
        picture.save(images / file_name)
        content["images"].append({"id": seed, "file_name": file_name, "width": picture.width, "height": picture.height})
        for box in boxes:
            record = {"id": len(content["annotations"]), "image_id": seed, "bbox": box, "iscrowd": 0}
            content["annotations"].append(record)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return path
