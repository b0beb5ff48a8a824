"""Pictures of the data set with what is there and what was proposed drawn on them."""

import base64
import io

from PIL import Image, ImageDraw

from model.evaluation.findings import Findings
from model.evaluation.report.exhibit import Exhibit
from model.training.stored_picture import read_picture

DRAWN = 10  # proposals; more would hide the picture
FOUND, MISSED, PROPOSED, IGNORED, _CASING = "#4cc3ff", "#ff5a1f", "#f0e442", "#b8bec4", "#101418"
_SIDE = 480  # a picture's longest side in the report
_JPEG_QUALITY = 85


def draw_exhibit(findings: Findings, exhibit: Exhibit) -> Image.Image:
    """The picture at `_SIDE` pixels with its `DRAWN` highest proposals, all its boxes, and its regions to ignore.

    Raises:
        DataError: its file cannot be read.
    """
    annotated = findings.pictures[exhibit.index]
    _, picture = read_picture(annotated.path)
    scale = _SIDE / max(picture.size)
    canvas = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    draw = ImageDraw.Draw(canvas)
    for box in annotated.ignored * scale:
        draw.rectangle(box.tolist(), outline=IGNORED, width=3)
    for box in findings.proposals[exhibit.index].boxes[:DRAWN][::-1] * scale:
        draw.rectangle(box.tolist(), outline=PROPOSED, width=1)
    for box, found in zip(annotated.boxes * scale, exhibit.found.tolist(), strict=True):
        x1, y1, x2, y2 = box.tolist()
        draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=_CASING, width=4)  # it shows on any ground
        draw.rectangle((x1, y1, x2, y2), outline=FOUND if found else MISSED, width=2)
    return canvas


def data_uri(picture: Image.Image) -> str:
    """The picture as a JPEG inside an address, so that a page needs no second file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
