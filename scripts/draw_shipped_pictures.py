"""Draw the README's picture and those of the weights' cards: proposals of what ships on the photographs of examples/.

.venv/bin/python scripts/draw_shipped_pictures.py
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from model.evaluation.pictures import contact_sheet

_REPOSITORY = Path(__file__).parents[1]
_PICTURES = ("coffee", "astronaut", "cat")
_HEIGHT = 360


# What each card shows of its network: how many of its highest proposals.
_CARDS = {"general": 20, "pedestrian": 10, "face": 10}


def main() -> None:
    """The README's picture, then one for each card."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    draw("general", 10, "proposals")
    for model, top_n in _CARDS.items():
        draw(model, top_n, f"failures-{model}")


def draw(model: str, top_n: int, name: str, images: Path = _REPOSITORY / "docs" / "images") -> None:
    """Ask `rpn propose` for the drawings and lay them side by side in the folder of images."""
    with tempfile.TemporaryDirectory() as folder:
        photographs = [str(_REPOSITORY / "examples" / f"{picture}.jpg") for picture in _PICTURES]
        command = [sys.executable, "-m", "service.cli", "propose", *photographs, "-o", folder, "--model", model]
        subprocess.run([*command, "--top-n", str(top_n), "--nms-iou", "0.5"], check=True)
        drawn = [Image.open(Path(folder) / f"{picture}.proposals.png").convert("RGB") for picture in _PICTURES]
    target = images / f"{name}.jpg"
    target.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(drawn, len(drawn), _HEIGHT).save(target, quality=88)


if __name__ == "__main__":
    main()
