"""Draw the figures of docs/how-it-works.md and bring the facts in its text up to date, after new weights or anchors.

.venv/bin/python scripts/draw_how_it_works.py [FOLDER]
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from how_it_works.anchors import anchors_by_level, nine_anchors
from how_it_works.assignment import assignment
from how_it_works.deltas import delta
from how_it_works.facts import refreshed
from how_it_works.features import feature_maps, objectness
from how_it_works.losses import loss_curves
from how_it_works.outputs import head_outputs
from how_it_works.overlap import overlap
from how_it_works.pipeline import pipeline
from how_it_works.proposals import suppression
from how_it_works.scene import Scene, load_scene
from how_it_works.sheet import Sheet

_REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENT = _REPOSITORY / "docs" / "how-it-works.md"
FOLDER = _REPOSITORY / "docs" / "figures"

# By file name; a photograph as JPEG, a drawing as PNG.
FIGURES: dict[str, Callable[[Scene], Sheet]] = {
    "pipeline.jpg": pipeline,
    "feature-maps.jpg": feature_maps,
    "nine-anchors.jpg": nine_anchors,
    "anchors-by-level.jpg": anchors_by_level,
    "head-outputs.png": head_outputs,
    "delta.jpg": delta,
    "iou.jpg": overlap,
    "assignment.jpg": assignment,
    "objectness.jpg": objectness,
    "nms.jpg": suppression,
}
LOSSES = "losses.svg"


def draw(scene: Scene, folder: Path) -> None:
    """Every figure, into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in FIGURES.items():
        figure(scene).save(folder / name)
    (folder / LOSSES).write_text(loss_curves(), encoding="utf-8")


def main() -> None:
    """The figures; and, where they go into the document's own folder, its facts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="for the figures (default: docs/figures)")
    folder = parser.parse_args().folder
    scene = load_scene()
    draw(scene, folder)
    if folder.resolve() == FOLDER:
        DOCUMENT.write_text(refreshed(DOCUMENT.read_text(encoding="utf-8"), scene), encoding="utf-8")


if __name__ == "__main__":
    main()
