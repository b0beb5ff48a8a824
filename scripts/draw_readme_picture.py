"""Draw the README's picture: the ten highest-ranked proposals on the photographs of examples/.

.venv/bin/python scripts/draw_readme_picture.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from model.evaluation.pictures import contact_sheet

_REPOSITORY = Path(__file__).parents[1]
_PICTURES = ("coffee", "astronaut", "cat")
_HEIGHT = 360


def main() -> None:
    """Ask `rpn propose` for the drawings and lay them side by side."""
    with tempfile.TemporaryDirectory() as folder:
        photographs = [str(_REPOSITORY / "examples" / f"{name}.jpg") for name in _PICTURES]
        command = [sys.executable, "-m", "service.cli", "propose", *photographs, "-o", folder]
        subprocess.run([*command, "--top-n", "10", "--nms-iou", "0.5"], check=True)
        drawn = [Image.open(Path(folder) / f"{name}.png").convert("RGB") for name in _PICTURES]
    target = _REPOSITORY / "docs" / "images" / "proposals.jpg"
    target.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(drawn, len(drawn), _HEIGHT).save(target, quality=88)


if __name__ == "__main__":
    main()
