"""The pictures of README and cards can be drawn again."""

from pathlib import Path

import pytest
from PIL import Image

import draw_shipped_pictures
from tests.e2e.conftest import REPOSITORY


@pytest.mark.e2e
def test_three_photographs_are_drawn_side_by_side(tmp_path: Path):
    draw_shipped_pictures.draw("face", 3, "failures-face", tmp_path)
    kept = REPOSITORY / "docs" / "images" / "failures-face.jpg"
    with Image.open(tmp_path / "failures-face.jpg") as drawn, Image.open(kept) as shown:
        assert drawn.size == shown.size
