"""Proposals to what callers read, in the box format that they asked for: JSON, plain floats, or npz.

Written directly: validating a thousand pydantic objects would cost more than the network takes.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from starlette.responses import Response

from model.structures import FloatArray, ImageSize
from service.batching import Inference
from service.engine import LoadedModel
from service.images import DecodedPicture
from service.media_types import MediaType
from service.parameters import ProposeQuery
from service.schemas import BoxFormat

# A hundredth of a pixel is finer than any box is right; normalised, the same holds up to 10,000 pixels a side.
_PIXEL_DECIMALS = 2
_NORMALIZED_DECIMALS = 6
_SCORE_DECIMALS = 6

# What the headers of a binary answer say, since its body holds numbers alone.
BINARY_HEADERS = {
    "X-Model": "the name of the model that answered",
    "X-Model-Digest": "its checkpoint's SHA-256",
    "X-Image-Size": "the upright picture's width x height",
    "X-Proposals": "how many there are",
    "X-Truncated": "`true` if more were found than `top_n`",
}

Timings = dict[str, float]


@dataclass(frozen=True, slots=True)
class Found:
    """One picture's proposals, and all that an answer says of them."""

    model: LoadedModel
    picture: DecodedPicture
    inference: Inference
    query: ProposeQuery

    @property
    def timings(self) -> Timings:
        """Where the time went, in milliseconds."""
        return {
            "decode": round(self.picture.decode_ms, 3),
            "queue": round(self.picture.wait_ms + self.inference.queue_ms, 3),
            "inference": round(self.inference.inference_ms, 3),
        }

    def boxes(self) -> npt.NDArray[np.float64]:
        """The boxes (K, 4) as they were asked for, unrounded."""
        size, boxes = self.picture.header.size, self.inference.proposals.boxes
        return convert_boxes(boxes, size, self.query.box_format, normalized=self.query.normalized)


def result(found: Found) -> dict[str, Any]:
    """One picture's result, as `service.schemas.Result` describes it."""
    size, model, proposals = found.picture.header.size, found.model, found.inference.proposals
    decimals = _NORMALIZED_DECIMALS if found.query.normalized else _PIXEL_DECIMALS
    boxes = np.round(found.boxes(), decimals).tolist()
    scores = np.round(proposals.scores.astype(np.float64), _SCORE_DECIMALS).tolist()
    return {
        "model": {"name": model.name, "version": model.info.version, "digest": model.info.digest},
        "image": {
            "width": size.width,
            "height": size.height,
            "exif_orientation": found.picture.header.exif_orientation,
        },
        "box_format": found.query.box_format,
        "normalized": found.query.normalized,
        "proposals": [{"box": box, "score": score} for box, score in zip(boxes, scores, strict=True)],
        "count": len(proposals),
        "truncated": proposals.truncated,
        "timings_ms": found.timings,
    }


def convert_boxes(
    boxes: FloatArray, size: ImageSize, box_format: BoxFormat, *, normalized: bool
) -> npt.NDArray[np.float64]:
    """Absolute ``xyxy`` (K, 4) to what was asked for.

    >>> corners = np.array([[10.0, 20.0, 30.0, 60.0]], dtype=np.float32)
    >>> convert_boxes(corners, ImageSize(100, 100), "cxcywh", normalized=True).tolist()
    [[0.2, 0.4, 0.2, 0.4]]
    """
    x1, y1, x2, y2 = boxes.astype(np.float64).T
    if box_format == "xywh":
        x2, y2 = x2 - x1, y2 - y1
    elif box_format == "cxcywh":
        x1, y1, x2, y2 = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    converted = np.stack((x1, y1, x2, y2), axis=1)
    return converted / [size.width, size.height, size.width, size.height] if normalized else converted


def slowest(results: Sequence[dict[str, Any]]) -> Timings:
    """The longest of each timing among the results; problems have none."""
    timings: Timings = {}
    for one in results:
        for name, value in one.get("timings_ms", {}).items():
            timings[name] = max(value, timings.get(name, 0.0))
    return timings


def json_response(content: dict[str, Any], timings: Timings) -> Response:
    """The answer, its timings also as a ``Server-Timing`` header."""
    return Response(orjson.dumps(content), headers=_timing_header(timings), media_type=MediaType.JSON)


def binary_response(found: Found, media_type: MediaType) -> Response:
    """One picture's proposals without JSON, highest score first; headers say the rest.

    `MediaType.FLOATS`: little-endian float32, five for each proposal: the box as it was asked for, and the score.
    `MediaType.NPZ`: numpy's archive of ``boxes`` float32 (K, 4), ``scores`` float32 (K,) and ``image_size`` int64 (2,),
    the upright width and height.
    """
    boxes, scores = found.boxes().astype("<f4"), found.inference.proposals.scores.astype("<f4")
    size = found.picture.header.size
    if media_type is MediaType.FLOATS:
        body = np.column_stack((boxes, scores)).tobytes()
    else:
        buffer = io.BytesIO()
        np.savez(buffer, boxes=boxes, scores=scores, image_size=np.array([size.width, size.height]))
        body = buffer.getvalue()
    truncated = str(found.inference.proposals.truncated).lower()
    said = (found.model.name, found.model.info.digest, str(size), str(len(scores)), truncated)
    headers = {**dict(zip(BINARY_HEADERS, said, strict=True)), **_timing_header(found.timings)}
    return Response(body, headers=headers, media_type=media_type)


def _timing_header(timings: Timings) -> Mapping[str, str]:
    header = ", ".join(f"{name};dur={value}" for name, value in timings.items())
    return {"Server-Timing": header} if header else {}
