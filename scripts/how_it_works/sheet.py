"""A white sheet to draw on: text, boxes, arrows and photographs, smooth at the edges."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

# Okabe and Ito (2008): told apart by the colour-blind, and by their lightness on a grey photograph.
BLUE, ORANGE, INK, GREY = "#0072b2", "#d55e00", "#1b1f24", "#6b747d"
PALE = "#eef2f6"
WIDTH = 1200  # of every drawn figure: a page shows it at 800 to 1000, so small text stays readable
TEXT, SMALL = 26, 22
# Pillow draws lines without smoothing: everything is drawn at twice the size and averaged down.
_ZOOM = 2
# JPEG with all its colour: at the usual half resolution of colour thin blue and orange lines turn grey.
_JPEG = {"quality": 80, "subsampling": 0, "optimize": True}
# Matplotlib's cividis at five places: from dark blue to yellow, made for the colour-blind (Nunez et al. 2018).
_RAMP = np.array([(0, 34, 78), (65, 77, 107), (124, 123, 120), (188, 174, 108), (254, 232, 56)], dtype=np.float64)

Numbers = npt.NDArray[np.float32]
Point = tuple[float, float]
Box = Sequence[float] | Numbers


class Sheet:
    """Coordinates are pixels of the finished figure; its background is white, so it reads on a dark page too."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * _ZOOM, height * _ZOOM), "white")
        self._draw = ImageDraw.Draw(self._image)

    def text(
        self,
        place: Point,
        words: str,
        *,
        size: int = TEXT,
        colour: str = INK,
        anchor: str = "la",
        halo: bool = False,
    ) -> None:
        """Words at a place, which is their left top (``la``), middle (``mm``) or what Pillow's ``anchor`` says."""
        font = ImageFont.load_default(size=size * _ZOOM)
        stroke = size * _ZOOM // 8 if halo else 0
        self._draw.text(_zoomed(place), words, colour, font, anchor, stroke_width=stroke, stroke_fill="white")

    def box(self, box: Box, colour: str, *, line: float = 3, halo: bool = False) -> None:
        """The outline of an ``xyxy`` box; ``halo`` puts it on a broader white one."""
        if halo:
            self.box(box, "white", line=line + 4)
        x1, y1, x2, y2 = (float(v) for v in box)
        self.line([(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1), (x2, y1)], colour, line=line)

    def dashed_box(self, box: Box, colour: str, *, line: float = 3, dash: float = 12) -> None:
        """The same in dashes."""
        x1, y1, x2, y2 = (float(v) for v in box)
        for start, end in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x2, y2), (x1, y2)), ((x1, y2), (x1, y1))):
            length = math.dist(start, end)
            for at in np.arange(0, length, 2 * dash):
                ends = [_between(start, end, at / length), _between(start, end, min(1, (at + dash) / length))]
                self.line(ends, colour, line=line)

    def line(self, points: Sequence[Point], colour: str, *, line: float = 3) -> None:
        """Straight lines from point to point."""
        self._draw.line([_zoomed(p) for p in points], fill=colour, width=round(line * _ZOOM), joint="curve")

    def arrow(self, start: Point, end: Point, colour: str, *, line: float = 4, both: bool = False) -> None:
        """An arrow from start to end; ``both`` gives it two heads."""
        head = min(4 * line, 0.6 * math.dist(start, end))
        self.line([start, _between(end, start, head / 2 / max(1e-6, math.dist(start, end)))], colour, line=line)
        self._head(start, end, head, colour)
        if both:
            self._head(end, start, head, colour)

    def fill(self, box: Box, colour: str) -> None:
        """A filled box."""
        self._draw.rectangle([round(float(v) * _ZOOM) for v in box], fill=colour)

    def shade(self, box: Box, colour: str, share: float) -> None:
        """Mix a colour into what lies in the box."""
        x1, y1, x2, y2 = (round(float(v) * _ZOOM) for v in box)
        area = (x1, y1, x2, y2)
        under = self._image.crop(area)
        self._image.paste(Image.blend(under, Image.new("RGB", under.size, colour), share), area)

    def dot(self, place: Point, colour: str, radius: float = 7) -> None:
        """A round mark with a white rim."""
        x, y = _zoomed(place)
        for grown, paint in ((radius + 2, "white"), (radius, colour)):
            r = grown * _ZOOM
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=paint)

    def paste(
        self, picture: "Image.Image | Sheet", place: Point, size: tuple[int, int], *, blocks: bool = False
    ) -> None:
        """A picture or another sheet, scaled to ``size``; ``blocks`` keeps its pixels square and sharp."""
        image = picture._image if isinstance(picture, Sheet) else picture
        resample = Image.Resampling.NEAREST if blocks else Image.Resampling.LANCZOS
        x, y = _zoomed(place)
        self._image.paste(image.resize((size[0] * _ZOOM, size[1] * _ZOOM), resample), (round(x), round(y)))

    def finished(self) -> Image.Image:
        """The figure at its own size."""
        return self._image.reduce(_ZOOM)

    def save(self, path: Path) -> None:
        """Write it as its name says: ``.jpg`` where there is a photograph in it, ``.png`` where there is none."""
        options = _JPEG if path.suffix == ".jpg" else {"optimize": True}
        image = self.finished()
        if path.suffix == ".png":
            image = image.quantize(64)  # a few colours and their edges: a third of the bytes
        image.save(path, **options)

    def _head(self, start: Point, end: Point, size: float, colour: str) -> None:
        length = max(1e-6, math.dist(start, end))
        across = ((end[1] - start[1]) / length * size / 2, -(end[0] - start[0]) / length * size / 2)
        base = _between(end, start, size / length)
        corners = [end, (base[0] + across[0], base[1] + across[1]), (base[0] - across[0], base[1] - across[1])]
        self._draw.polygon([_zoomed(corner) for corner in corners], fill=colour)


class Panel(Sheet):
    """A sheet that shows a photograph, or a ``view`` (``xyxy``) of it that may reach beyond; what sticks out is cut."""

    def __init__(self, photograph: Image.Image, width: int, view: Box | None = None) -> None:
        x1, y1, x2, y2 = view or (0, 0, *photograph.size)
        self.scale = width / (x2 - x1)
        self.origin = (x1, y1)
        super().__init__(width, round((y2 - y1) * self.scale))
        size = (round(photograph.width * self.scale), round(photograph.height * self.scale))
        self.paste(photograph, self.at((0, 0)), size)

    def at(self, place: Point) -> Point:
        """A place of the photograph, on the panel."""
        return (place[0] - self.origin[0]) * self.scale, (place[1] - self.origin[1]) * self.scale

    def on(self, box: Box) -> tuple[float, ...]:
        """A box of the photograph, on the panel."""
        return (*self.at((float(box[0]), float(box[1]))), *self.at((float(box[2]), float(box[3]))))


def faded(photograph: Image.Image) -> Image.Image:
    """Grey and light, so that blue and orange stand out whatever the photograph's own colours are."""
    grey = photograph.convert("L").convert("RGB")
    return Image.blend(grey, Image.new("RGB", grey.size, "white"), 0.35)


def heat(values: Numbers, low: float, high: float) -> Image.Image:
    """A map (H, W) as a picture of one pixel a value, dark up to ``low``, yellow from ``high`` on."""
    places = np.linspace(0.0, 1.0, len(_RAMP))
    shares = np.clip((values - low) / (high - low), 0, 1)
    channels = [np.interp(shares, places, channel) for channel in _RAMP.T]
    return Image.fromarray(np.stack(channels, axis=-1).round().astype(np.uint8))


def ramp_colour(share: float) -> str:
    """The ramp's colour at a share from 0 to 1."""
    red, green, blue = heat(np.array([[share]], dtype=np.float32), 0, 1).getpixel((0, 0))  # type: ignore[misc]
    return f"#{red:02x}{green:02x}{blue:02x}"


def _zoomed(place: Point) -> Point:
    return place[0] * _ZOOM, place[1] * _ZOOM


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share
