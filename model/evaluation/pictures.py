"""Pictures with boxes drawn on them, for people to look at."""

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from model.structures import FloatArray

# Matplotlib's viridis at five places, dark to bright: rank is readable in colour, in grey and by the colour-blind.
_RAMP = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], dtype=np.float64)
# Line width in proportion to the picture, so that a 12-megapixel photograph shows its boxes too.
_SIDE_PER_LINE_PIXEL = 400


def draw_boxes(picture: Image.Image, boxes: FloatArray, scores: FloatArray) -> Image.Image:
    """A copy with the boxes (K, 4) ``xyxy`` drawn, the highest-scored last, on top, in the brightest colour."""
    canvas = picture.convert("RGB").copy()
    draw = ImageDraw.Draw(canvas)
    width = max(1, round(max(canvas.size) / _SIDE_PER_LINE_PIXEL))
    font = ImageFont.load_default(size=6 + 5 * width)
    for rank in reversed(range(len(boxes))):
        colour = _colour(1.0 - rank / max(1, len(boxes) - 1))
        box = [float(v) for v in boxes[rank]]
        draw.rectangle(box, outline=colour, width=width)
        _label(draw, (box[0], box[1]), f"{scores[rank]:.2f}", colour, font)
    return canvas


def _label(
    draw: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    text: str,
    colour: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    left, top, right, bottom = draw.textbbox(corner, text, font=font)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=colour)
    bright = sum(colour) > 3 * 128
    draw.text(corner, text, fill=(0, 0, 0) if bright else (255, 255, 255), font=font)


def _colour(share: float) -> tuple[int, int, int]:
    """The ramp's colour at a share from 0 to 1."""
    places = np.linspace(0.0, 1.0, len(_RAMP))
    red, green, blue = (round(float(np.interp(share, places, channel))) for channel in _RAMP.T)
    return red, green, blue


def contact_sheet(pictures: Iterable[Image.Image], columns: int, height: int) -> Image.Image:
    """Pictures side by side at one height, row by row, on white."""
    scaled = [p.resize((max(1, round(p.width * height / p.height)), height)) for p in pictures]
    rows = [scaled[i : i + columns] for i in range(0, len(scaled), columns)]
    width = max(sum(p.width for p in row) for row in rows)
    sheet = Image.new("RGB", (width, height * len(rows)), "white")
    for y, row in enumerate(rows):
        x = 0
        for picture in row:
            sheet.paste(picture, (x, y * height))
            x += picture.width
    return sheet
