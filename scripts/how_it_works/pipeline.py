"""The whole way of one picture, as a strip of what each step really makes of it."""

from how_it_works.features import objectness_map, on_canvas, strength_map
from how_it_works.proposals import candidates_and_proposals
from how_it_works.scene import Scene
from how_it_works.sheet import BLUE, GREY, INK, ORANGE, PALE, SMALL, WIDTH, Numbers, Panel, Sheet, faded

_THUMB = 230
# Of the maps one is shown: fine enough to know the cup by; of the scores one, of the cup's own size.
_MAP_LEVEL, _SCORE_LEVEL = 1, 2


def pipeline(scene: Scene) -> Sheet:
    """First row: picture to scores and deltas, by the network. Second: from those to proposals, by rule."""
    sheet = Sheet(WIDTH, 530)
    middle = 24 + round(_THUMB * _ratio(scene)) / 2
    _network_row(sheet, scene, middle)
    _rule_row(sheet, scene, middle + 300)
    _turn(sheet, middle)
    return sheet


def _network_row(sheet: Sheet, scene: Scene, y: float) -> None:
    k = scene.checkpoint.config.anchors.per_location
    canvas = scene.placement.canvas
    _thumb(sheet, Panel(on_canvas(scene), _THUMB), (0, y), f"picture, {canvas.width} x {canvas.height}")
    sheet.arrow((_THUMB + 8, y), (_THUMB + 48, y), INK)
    _step(sheet, (_THUMB + 54, y), "backbone", "and pyramid")
    sheet.arrow((_THUMB + 206, y), (_THUMB + 246, y), INK)
    maps = " + ".join(f"{columns}x{rows}" for rows, columns in scene.maps())
    left = _THUMB + 254
    panel = Panel(strength_map(scene, _MAP_LEVEL), _THUMB)
    for shift in (18, 12, 6):  # the other maps, behind it
        top = y - panel.height / 2 - shift
        sheet.fill((left + shift, top, left + _THUMB + shift, top + panel.height), "white")
        sheet.box((left + shift, top, left + _THUMB + shift, top + panel.height), GREY, line=2)
    _thumb(sheet, panel, (left, y), f"{len(scene.maps())} feature maps")
    sheet.text((left + _THUMB / 2, y + 128), maps, size=18, colour=GREY, anchor="ma")
    sheet.arrow((left + _THUMB + 22, y), (left + _THUMB + 56, y), INK)
    _step(sheet, (left + _THUMB + 62, y), "head 3x3", "at each place")
    right = left + _THUMB + 214
    for height, words, colour in ((-52, f"2k = {2 * k} scores", BLUE), (52, f"4k = {4 * k} deltas", ORANGE)):
        sheet.arrow((right, y), (right + 40, y + height), colour)
        sheet.text((right + 48, y + height), words, colour=colour, anchor="lm")
    sheet.text((right + 48, y), f"k = {k} anchors", size=SMALL, colour=GREY, anchor="lm")


def _turn(sheet: Sheet, y: float) -> None:
    """From the end of the first row to the start of the second."""
    right, middle = WIDTH - 90, y + 170
    sheet.line([(right, y + 76), (right, middle), (_THUMB / 2, middle)], GREY)
    sheet.arrow((_THUMB / 2, middle), (_THUMB / 2, y + 210), GREY, line=3)


def _rule_row(sheet: Sheet, scene: Scene, y: float) -> None:
    before, after = candidates_and_proposals(scene)
    anchors = f"{len(scene.anchors):,} scored anchors"
    _thumb(sheet, Panel(objectness_map(scene, _SCORE_LEVEL), _THUMB), (0, y), anchors)
    sheet.arrow((_THUMB + 8, y), (_THUMB + 48, y), INK)
    _step(sheet, (_THUMB + 54, y), "top-k, decode,", "clip, drop")
    sheet.arrow((_THUMB + 206, y), (_THUMB + 246, y), INK)
    left = _THUMB + 254
    _thumb(sheet, _boxes(scene, before, ORANGE, 1.0), (left, y), f"candidates ({len(before)} shown)")
    sheet.arrow((left + _THUMB + 22, y), (left + _THUMB + 56, y), INK)
    _step(sheet, (left + _THUMB + 62, y), "NMS, rank", "")
    right = left + _THUMB + 214
    sheet.arrow((right, y), (right + 34, y), INK)
    _thumb(sheet, _boxes(scene, after, BLUE, 2.0), (right + 40, y), f"proposals ({len(after)} shown)")


def _boxes(scene: Scene, boxes: Numbers, colour: str, line: float) -> Panel:
    panel = Panel(faded(scene.photograph), _THUMB)
    for box in boxes:
        panel.box(panel.on(box), colour, line=line)
    return panel


def _thumb(sheet: Sheet, panel: Panel, place: tuple[float, float], words: str) -> None:
    x, y = place
    sheet.paste(panel, (x, y - panel.height / 2), (panel.width, panel.height))
    sheet.text((x + panel.width / 2, y + panel.height / 2 + 12), words, size=SMALL, anchor="ma")


def _step(sheet: Sheet, place: tuple[float, float], first: str, second: str) -> None:
    x, y = place
    sheet.fill((x, y - 46, x + 146, y + 46), PALE)
    sheet.box((x, y - 46, x + 146, y + 46), INK, line=2)
    sheet.text((x + 73, y - (16 if second else 0)), first, size=20, anchor="mm")
    sheet.text((x + 73, y + 16), second, size=20, anchor="mm")


def _ratio(scene: Scene) -> float:
    return scene.placement.canvas.height / scene.placement.canvas.width
