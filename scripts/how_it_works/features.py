"""What comes out of the network, map by map: the backbone's features and the head's objectness."""

import numpy as np
from PIL import Image

from how_it_works.scene import Scene
from how_it_works.sheet import GREY, SMALL, WIDTH, Numbers, Panel, Sheet, faded, heat, ramp_colour

_GAP = 16
# A few places are far stronger or weaker than all others; the rest is to be told apart too.
_QUANTILES = (0.02, 0.98)


def feature_maps(scene: Scene) -> Sheet:
    """Each level: its grid on the photograph, and the mean strength of its channels at each place."""
    width = (WIDTH - 3 * _GAP) // len(scene.strides)
    height = _height(scene, width)
    sheet = Sheet(WIDTH, 2 * height + _GAP + 120)
    for level, (stride, strength) in enumerate(zip(scene.strides, strengths(scene), strict=True)):
        x = level * (width + _GAP)
        rows, columns = strength.shape
        sheet.text((x + width / 2, 0), f"stride {stride}", anchor="ma")
        sheet.text((x + width / 2, 32), f"{columns} x {rows} places", size=SMALL, colour=GREY, anchor="ma")
        sheet.paste(_grid(scene, stride, width), (x, 68), (width, height))
        shown = strength_map(scene, level)
        sheet.paste(shown, (x, 68 + height + _GAP), (width, height), blocks=True)
    _scale(sheet, 68 + 2 * height + _GAP + 20, "mean strength of the channels: low", "high")
    return sheet


def objectness(scene: Scene) -> Sheet:
    """Each level: the highest objectness of the anchors at each place, over the photograph."""
    width = (WIDTH - _GAP) // 2
    height = _height(scene, width)
    sheet = Sheet(WIDTH, 2 * (height + 56) + 40)
    for level, scores in enumerate(best_scores(scene)):
        x, y = level % 2 * (width + _GAP), level // 2 * (height + 56)
        sizes = ", ".join(f"{size:g}" for size in scene.checkpoint.config.anchors.sizes[level])
        label = f"stride {scene.strides[level]}, anchors of {sizes} px: at most {scores.max():.2f}"
        sheet.text((x, y + 8), label, size=SMALL)
        sheet.paste(_overlay(scene, level), (x, y + 40), (width, height))
    _scale(sheet, 2 * (height + 56) + 8, "objectness: 0", "1")
    return sheet


def _height(scene: Scene, width: int) -> int:
    return round(width * scene.placement.canvas.height / scene.placement.canvas.width)


def strengths(scene: Scene) -> list[Numbers]:
    """Per level (H_l, W_l): the mean absolute value over the channels."""
    return [feature[0].abs().mean(dim=0).numpy() for feature in scene.features]


def best_scores(scene: Scene) -> list[Numbers]:
    """Per level (H_l, W_l): the highest objectness of the k anchors at each place."""
    k = scene.checkpoint.config.anchors.per_location
    pairs = zip(scene.scored.logits, scene.maps(), strict=True)
    return [logits[0].sigmoid().reshape(*grid, k).amax(dim=-1).numpy() for logits, grid in pairs]


def on_canvas(scene: Scene) -> Image.Image:
    """The photograph with its padding, in the photograph's own resolution; the padding black, as the network has it."""
    canvas = scene.placement.canvas
    size = (round(canvas.width / scene.placement.scale_x), round(canvas.height / scene.placement.scale_y))
    padded = Image.new("RGB", size)
    padded.paste(scene.photograph)
    return padded


def strength_map(scene: Scene, level: int) -> Image.Image:
    """The level's `strengths` on the canvas, from its weakest places to its strongest."""
    values = strengths(scene)[level]
    low, high = np.quantile(values, _QUANTILES).tolist()
    return spread(scene, level, heat(values, low, high))


def objectness_map(scene: Scene, level: int) -> Image.Image:
    """The level's `best_scores` on the canvas, from 0 to 1."""
    return spread(scene, level, heat(best_scores(scene)[level], 0, 1))


def spread(scene: Scene, level: int, values: Image.Image) -> Image.Image:
    """A level's map on the canvas, a block of one stride for each place; what the last row has beyond it is cut."""
    stride, canvas = scene.strides[level], scene.placement.canvas
    blocks = values.resize((values.width * stride, values.height * stride), Image.Resampling.NEAREST)
    return blocks.crop((0, 0, canvas.width, canvas.height))


def _grid(scene: Scene, stride: int, width: int) -> Panel:
    panel = Panel(on_canvas(scene), width)
    step = stride * width / scene.placement.canvas.width
    line = 1 if stride <= 16 else 2
    for x in np.arange(step, panel.width, step):
        panel.line([(x, 0), (x, panel.height)], "white", line=line)
    for y in np.arange(step, panel.height, step):
        panel.line([(0, y), (panel.width, y)], "white", line=line)
    return panel


def _overlay(scene: Scene, level: int) -> Image.Image:
    photograph = faded(on_canvas(scene))
    blocks = objectness_map(scene, level).resize(photograph.size, Image.Resampling.NEAREST)
    return Image.blend(photograph, blocks, 0.72)


def _scale(sheet: Sheet, y: float, low: str, high: str) -> None:
    """The ramp between the words for its two ends, in the middle of the sheet."""
    left, steps, step = WIDTH / 2 - 100, 50, 4
    sheet.text((left - 12, y + 11), low, size=SMALL, anchor="rm")
    for index in range(steps):
        sheet.fill((left + index * step, y, left + (index + 1) * step, y + 22), ramp_colour(index / (steps - 1)))
    sheet.text((left + steps * step + 12, y + 11), high, size=SMALL, anchor="lm")
