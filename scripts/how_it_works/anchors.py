"""The anchors of one place: the paper's nine, and those of the default network on each of its levels."""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from how_it_works.scene import OBJECTS, Scene
from how_it_works.sheet import BLUE, GREY, INK, ORANGE, SMALL, WIDTH, Panel, Sheet, faded
from model.architectures import architecture
from model.network.anchors import AnchorGenerator
from model.structures import ImageSize

# One colour for each ratio, in the order of `AnchorConfig.aspect_ratios`: wide, square, tall.
RATIO_COLOURS = (BLUE, INK, ORANGE)
_RATIO_NAMES = ("wide, h/w = 0.5", "square, h/w = 1", "tall, h/w = 2")
_VGG16_STRIDE = 16  # four of its five poolings are kept


@dataclass(frozen=True)
class PaperAnchors:
    """The paper's anchors at the place in the middle of the photograph: ``boxes`` (9, 4) in the input's pixels.

    ``grid``: the map's places across and down, one every ``stride`` pixels.
    """

    boxes: Tensor
    place: tuple[float, float]
    picture: ImageSize
    grid: tuple[int, int]
    stride: int = _VGG16_STRIDE


def paper_anchors(scene: Scene) -> PaperAnchors:
    """By the code of the ``rpn_vgg16`` architecture: ratio by ratio, each in the order of its sizes."""
    config = architecture("rpn_vgg16")
    placed = config.input.place(ImageSize(*scene.photograph.size))
    grid = (placed.canvas.height // _VGG16_STRIDE, placed.canvas.width // _VGG16_STRIDE)
    generator = AnchorGenerator(config.anchors, (_VGG16_STRIDE,))
    (level,) = generator(placed.canvas, (grid,), torch.device("cpu"))
    row, column = placed.content.height // _VGG16_STRIDE // 2, placed.content.width // _VGG16_STRIDE // 2
    start = (row * grid[1] + column) * config.anchors.per_location
    boxes = level.boxes[start : start + config.anchors.per_location]
    x, y = level.centres[start].tolist()
    return PaperAnchors(boxes, (x, y), placed.content, (grid[1], grid[0]))


def nine_anchors(scene: Scene) -> Sheet:
    """The paper's anchors on the photograph, with their sides."""
    shown = paper_anchors(scene)
    photograph = faded(scene.photograph.resize((shown.picture.width, shown.picture.height)))
    panel = Panel(photograph, WIDTH - 330, (-20, -70, shown.picture.width + 20, shown.picture.height + 70))
    for index, box in enumerate(shown.boxes.tolist()):
        panel.box(panel.on(box), RATIO_COLOURS[index // 3], line=3, halo=True)
    panel.dot(panel.at(shown.place), INK)
    sheet = Sheet(WIDTH, panel.height + 10)
    sheet.paste(panel, (0, 0), (panel.width, panel.height))
    _sides(sheet, shown.boxes, panel.width + 24)
    return sheet


def _sides(sheet: Sheet, boxes: Tensor, x: float) -> None:
    """Width and height of each, under its ratio."""
    sheet.text((x, 20), "width x height, px", size=SMALL, colour=GREY)
    for ratio, (name, colour) in enumerate(zip(_RATIO_NAMES, RATIO_COLOURS, strict=True)):
        top = 70 + 190 * ratio
        sheet.text((x, top), name, colour=colour)
        for scale in range(3):
            x1, y1, x2, y2 = boxes[3 * ratio + scale].tolist()
            sheet.text((x + 24, top + 44 + 38 * scale), f"{x2 - x1:.0f} x {y2 - y1:.0f}", colour=colour)


def anchors_by_level(scene: Scene) -> Sheet:
    """The default network's anchors on each level, at the place nearest to the cup's middle."""
    gap, width = 16, (WIDTH - 16) // 2
    photograph = faded(scene.photograph)
    panels = [_level_panel(scene, level, photograph, width) for level in range(len(scene.strides))]
    sheet = Sheet(WIDTH, 2 * (panels[0].height + 50))
    for level, panel in enumerate(panels):
        x, y = level % 2 * (width + gap), level // 2 * (panel.height + 50)
        sizes = ", ".join(f"{size:g}" for size in scene.checkpoint.config.anchors.sizes[level])
        sheet.text((x, y + 8), f"stride {scene.strides[level]}: sizes {sizes} px", size=SMALL)
        sheet.paste(panel, (x, y + 42), (panel.width, panel.height))
    return sheet


def _level_panel(scene: Scene, level: int, photograph: Image.Image, width: int) -> Panel:
    panel = Panel(photograph, width)
    boxes = scene.in_photograph(place_anchors(scene, level))
    ratios = len(RATIO_COLOURS)
    for index, box in enumerate(boxes):
        panel.box(panel.on(box), RATIO_COLOURS[index * ratios // len(boxes)], line=2, halo=True)
    for other in scene.in_photograph(_centres(scene, level)):
        panel.dot(panel.at((other[0], other[1])), GREY, radius=1)
    middle = boxes.mean(axis=0)
    panel.dot(panel.at(((middle[0] + middle[2]) / 2, (middle[1] + middle[3]) / 2)), INK, radius=5)
    return panel


def place_anchors(scene: Scene, level: int) -> Tensor:
    """(k, 4) in canvas pixels: the anchors of the level's place that is nearest to the middle of the cup."""
    start = nearest_place(scene, level)
    return scene.scored.anchors[level].boxes[start : start + scene.checkpoint.config.anchors.per_location]


def nearest_place(scene: Scene, level: int) -> int:
    """Where on the level the anchors of the place nearest to the middle of the cup begin."""
    box = scene.objects[0, list(OBJECTS).index("cup")]
    distance = (scene.scored.anchors[level].centres - (box[:2] + box[2:]) / 2).norm(dim=-1)
    k = scene.checkpoint.config.anchors.per_location
    return int(distance.argmin()) // k * k


def _centres(scene: Scene, level: int) -> Tensor:
    """(H_l * W_l, 4): each place, as a box without area."""
    centres = scene.scored.anchors[level].centres[:: scene.checkpoint.config.anchors.per_location]
    return centres.repeat(1, 2)
