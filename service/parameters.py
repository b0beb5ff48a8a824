"""The query parameters of ``POST /propose``."""

from collections import Counter

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from model.structures import Selection
from service.errors import InvalidParameter
from service.schemas import BoxFormat

# Several times as many as there are; a query of thousands would hold up everyone while each is told to be wrong.
MAX_PARAMETERS = 32


async def check_query(request: Request) -> None:
    """What FastAPI does not look at: how many parameters there are, and how often each is given.

    Of one that is given twice, one would be passed over in silence. A dependency, so that it comes before all else.

    Raises:
        InvalidParameter: naming each of those that are.
    """
    if request.scope["query_string"].count(b"&") >= MAX_PARAMETERS:
        raise InvalidParameter([("query", f"has more than {MAX_PARAMETERS} parameters")])
    counts = Counter(name for name, _ in request.query_params.multi_items())
    if faults := [(name, f"is given {count} times") for name, count in counts.items() if count > 1]:
        raise InvalidParameter(faults)


class ProposeQuery(BaseModel):
    """What a caller may ask; anything else in the query is refused, so that no misspelling passes silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top_n: int = Field(300, ge=1, description="At most so many proposals, and no more than this server allows.")
    score_threshold: float = Field(
        0.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Only proposals of at least this score, before it is rounded to six digits.",
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
