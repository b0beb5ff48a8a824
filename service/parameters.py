"""The query parameters of ``POST /propose``."""

from collections import Counter
from functools import lru_cache

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import QueryParams

from model.structures import Selection
from service.errors import InvalidParameter
from service.schemas import BoxFormat

# Several times as many as there are; a query of thousands would hold up everyone while each is told to be wrong.
MAX_PARAMETERS = 32
# Far more than one caller's ways of asking; what is longer than any sensible query is not kept.
_KEPT, _KEPT_BYTES = 256, 512


class ProposeQuery(BaseModel):
    """What a caller may ask; anything else in the query is refused, so that no misspelling passes silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top_n: int = Field(300, ge=1, description="At most so many proposals, and no more than this server allows.")
    score_threshold: float = Field(
        0.0, ge=0, le=1, allow_inf_nan=False, description="Only proposals of at least this score, as it is answered."
    )
    nms_iou: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Of two proposals that overlap by more than this, the one that the network scores lower goes; 1 "
        "keeps all. Without it the model's own, see `/models`.",
    )
    box_format: BoxFormat = Field(
        "xyxy", description="`xyxy`: two corners; `xywh`: top left corner and size; `cxcywh`: centre and size."
    )
    normalized: bool = Field(False, description="Divide by the upright picture's width and height.")
    model: str | None = Field(None, description="The model's name, see `/models`; without it the default one.")

    def selection(self, *, max_top_n: int, nms_iou: float) -> Selection:
        """What the model is asked for; ``nms_iou`` is the model's own.

        Raises:
            InvalidParameter: ``top_n`` is more than this server allows.
        """
        if self.top_n > max_top_n:
            raise InvalidParameter([("top_n", f"Input should be less than or equal to {max_top_n}")])
        return Selection(self.top_n, self.score_threshold, nms_iou if self.nms_iou is None else self.nms_iou)


def read_query(query_string: bytes) -> ProposeQuery:
    """The parameters of a query as it came.

    FastAPI reads them anew each time, 0.3 of the 0.8 ms that a request took the event loop. Callers ask alike again
    and again, and what was read before costs next to nothing.

    Raises:
        InvalidParameter: there are too many, or one is given twice, of which one would be passed over in silence.
        RequestValidationError: of one that is not known, or not as it must be.
    """
    return _read_before(query_string) if len(query_string) <= _KEPT_BYTES else _read(query_string)


def _read(query_string: bytes) -> ProposeQuery:
    if query_string.count(b"&") >= MAX_PARAMETERS:
        raise InvalidParameter([("query", f"has more than {MAX_PARAMETERS} parameters")])
    given = QueryParams(query_string)
    counts = Counter(name for name, _ in given.multi_items())
    if faults := [(name, f"is given {count} times") for name, count in counts.items() if count > 1]:
        raise InvalidParameter(faults)
    try:
        return ProposeQuery.model_validate(dict(given))
    except ValidationError as error:  # as FastAPI tells it
        raise RequestValidationError(
            [{**fault, "loc": ("query", *fault["loc"])} for fault in error.errors(include_url=False)]
        ) from None


_read_before = lru_cache(_KEPT)(_read)
