"""What can be wrong with the boxes of one picture."""

from collections.abc import Iterator
from dataclasses import dataclass

from model.imaging.canvas import InputRule
from model.structures import ImageSize
from model.training.faults import Fault, FaultKind
from model.training.records import BoxRecord, PictureRecord

# Annotation files round, to 0.1 pixel and coarser, after scaling: less than this outside a picture is no mistake.
_ROUNDING = 0.5
# Under this a box is less than a quarter of a cell of the finest feature level (stride 8) in one direction.
DEFAULT_THINNEST = 2.0


@dataclass(frozen=True, slots=True)
class BoxRules:
    """``input``: how the network to be trained is fed; ``thinnest``: the least side, in pixels of its canvas, at which
    a box is worth learning."""

    input: InputRule
    thinnest: float = DEFAULT_THINNEST


def box_faults(picture: PictureRecord, rules: BoxRules) -> Iterator[Fault]:
    """The faults of a picture's boxes: of a box without area, or outside, no others."""
    seen: dict[tuple[float, ...], str] = {}
    for box in picture.boxes:
        found = _extent_fault(box, picture.size)
        if found is None or found[0] is FaultKind.CLIPPED_BOX:
            # Regions to ignore are often slivers, and nothing is learnt from them.
            thin = None if box.ignored else _thin(box, picture.size, rules)
            corners = tuple(round(value, 2) for value in box.corners)
            twin = seen.setdefault(corners, box.where)
            twice = None if twin == box.where else (FaultKind.DUPLICATE_BOX, f"is the same as {twin}")
        else:
            thin = twice = None
        for kind, detail in filter(None, (found, thin, twice)):
            yield Fault(kind, picture.file, box.where, f"{_shown(box)} {detail}, in {picture.path.name}")


def _extent_fault(box: BoxRecord, size: ImageSize) -> tuple[FaultKind, str] | None:
    x1, y1, x2, y2 = box.corners
    if x2 <= x1 or y2 <= y1:
        return FaultKind.EMPTY_BOX, f"is {x2 - x1:g} wide and {y2 - y1:g} high"
    if x1 >= size.width or y1 >= size.height or x2 <= 0 or y2 <= 0:
        return FaultKind.OUTSIDE_BOX, f"lies outside {size}"
    beyond = max(-x1, -y1, x2 - size.width, y2 - size.height)
    if beyond > _ROUNDING:
        return FaultKind.CLIPPED_BOX, f"passes the border of {size} by {beyond:g}"
    return None


def _thin(box: BoxRecord, size: ImageSize, rules: BoxRules) -> tuple[FaultKind, str] | None:
    x1, y1, x2, y2 = box.corners
    placement = rules.input.place(size)
    # Rounded, so that 104.5 - 102.4 = 2.0999... is not under the 2.1 that it was written as.
    width = round((min(x2, size.width) - max(x1, 0)) * placement.scale_x, 2)
    height = round((min(y2, size.height) - max(y1, 0)) * placement.scale_y, 2)
    if min(width, height) >= rules.thinnest:
        return None
    return FaultKind.THIN_BOX, f"is {width:g}x{height:g} on the canvas, under {rules.thinnest:g}"


def _shown(box: BoxRecord) -> str:
    return f"({', '.join(f'{value:g}' for value in box.corners)})"
