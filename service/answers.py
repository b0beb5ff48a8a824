"""Proposals to the JSON that callers read, in the box format that they asked for.

Written directly: validating a thousand pydantic objects would cost more than the network takes.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.responses import Response

from model.structures import FloatArray, ImageSize
from service.batching import Inference
from service.engine import LoadedModel
from service.images import DecodedPicture
from service.parameters import ProposeQuery
from service.schemas import BoxFormat

# A hundredth of a pixel is finer than any box is right; normalised, the same holds up to 10,000 pixels a side.
_PIXEL_DECIMALS = 2
_NORMALIZED_DECIMALS = 6
_SCORE_DECIMALS = 6

Timings = dict[str, float]


def result(model: LoadedModel, picture: DecodedPicture, inference: Inference, query: ProposeQuery) -> dict[str, Any]:
    """One picture's result, as `service.schemas.Result` describes it."""
    size = picture.header.size
    proposals = inference.proposals
    boxes = convert_boxes(proposals.boxes, size, query.box_format, normalized=query.normalized).tolist()
    scores = np.round(proposals.scores.astype(np.float64), _SCORE_DECIMALS).tolist()
    return {
        "model": {"name": model.name, "version": model.info.version, "digest": model.info.digest},
        "image": {
            "width": size.width,
            "height": size.height,
            "exif_orientation": picture.header.exif_orientation,
        },
        "box_format": query.box_format,
        "normalized": query.normalized,
        "proposals": [{"box": box, "score": score} for box, score in zip(boxes, scores, strict=True)],
        "count": len(proposals),
        "truncated": proposals.truncated,
        "timings_ms": {
            "decode": round(picture.decode_ms, 3),
            "queue": round(picture.wait_ms + inference.queue_ms, 3),
            "inference": round(inference.inference_ms, 3),
        },
    }


def convert_boxes(
    boxes: FloatArray, size: ImageSize, box_format: BoxFormat, *, normalized: bool
) -> npt.NDArray[np.float64]:
    """Absolute ``xyxy`` (K, 4) to what was asked for, rounded.

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
    if not normalized:
        return np.round(converted, _PIXEL_DECIMALS)
    return np.round(converted / [size.width, size.height, size.width, size.height], _NORMALIZED_DECIMALS)


def slowest(results: Sequence[dict[str, Any]]) -> Timings:
    """The longest of each timing among the results; problems have none."""
    timings: Timings = {}
    for one in results:
        for name, value in one.get("timings_ms", {}).items():
            timings[name] = max(value, timings.get(name, 0.0))
    return timings


def json_response(content: dict[str, Any], timings: Timings) -> Response:
    """The answer, its timings also as a ``Server-Timing`` header."""
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    header = ", ".join(f"{name};dur={value}" for name, value in timings.items())
    return Response(body, headers={"Server-Timing": header} if header else None, media_type="application/json")
