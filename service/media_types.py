"""What an answer is written in, by the caller's ``Accept`` (RFC 9110, section 12.5.1)."""

import contextlib
from enum import StrEnum

from service.errors import NotAcceptable

# Browsers send some 200; 64 KiB of commas, which a head may hold, would hold up everyone while they are taken apart.
_MAX_LENGTH = 1000


class MediaType(StrEnum):
    """The forms of an answer, the preferred one first."""

    JSON = "application/json"
    FLOATS = "application/octet-stream"
    NPZ = "application/x-npz"


def choose_media_type(accept: str) -> MediaType:
    """The form that the caller likes best; of forms that he likes alike, or if he names none, the first of `MediaType`.

    Raises:
        NotAcceptable: he takes none of them, or says so at a length that nobody needs.
    """
    quality = _qualities(accept)
    best = max(quality, key=lambda kind: quality[kind])  # the first of equals
    if quality[best] <= 0:
        raise NotAcceptable(f"answers are written as {', '.join(MediaType)}, none of which {accept!r} takes")
    return best


def takes_json(accept: str) -> bool:
    """Whether the caller takes JSON, be it that he likes another form better; raises as `choose_media_type`."""
    return _qualities(accept)[MediaType.JSON] > 0


def _qualities(accept: str) -> dict[MediaType, float]:
    if len(accept) > _MAX_LENGTH:
        raise NotAcceptable(f"the Accept header has more than {_MAX_LENGTH:,} characters")
    ranges = [_parse(part) for part in accept.split(",") if part.strip()]
    return {kind: _quality(kind, ranges) if ranges else 1.0 for kind in MediaType}


def _parse(part: str) -> tuple[str, float]:
    """A media range and its quality; one that is no number from 0 to 1 counts as 0."""
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            with contextlib.suppress(ValueError):
                quality = float(parameter[2:])
                return name, quality if 0 <= quality <= 1 else 0.0
            return name, 0.0
    return name, 1.0


def _quality(kind: MediaType, ranges: list[tuple[str, float]]) -> float:
    """The quality that the most specific range gives it."""
    for pattern in (kind.value, "application/*", "*/*"):
        for name, quality in ranges:
            if name == pattern:
                return quality
    return 0.0
