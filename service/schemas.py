"""The answers' shapes, as OpenAPI documents them.

Answers of a thousand boxes are written straight to JSON by ``service.answers``; a test holds real answers against
these schemas.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

BoxFormat = Literal["xyxy", "xywh", "cxcywh"]

Milliseconds = Annotated[float, Field(ge=0)]


class ModelRef(BaseModel):
    """The model that answered."""

    name: str = Field(description="The name to ask for it by.", examples=["general"])
    version: str = Field(description="The checkpoint's version.", examples=["1"])
    digest: str = Field(description="The checkpoint's SHA-256.", examples=["sha256:9f2c…"])


class ImageInfo(BaseModel):
    """The picture as a person sees it: EXIF orientation applied."""

    width: int = Field(ge=1, description="Upright width in pixels.")
    height: int = Field(ge=1, description="Upright height in pixels.")
    exif_orientation: int = Field(ge=1, le=8, description="The orientation that was applied; 1 is none.")


class Proposal(BaseModel):
    """One box that may hold an object, of whatever class."""

    # A list, not a tuple: OpenAPI gives a tuple a type for each place, of which clients' generators make "any".
    box: list[float] = Field(min_length=4, max_length=4, description="In `box_format`.")
    score: float = Field(
        ge=0,
        le=1,
        description="The chance, as measured in validation at this `nms_iou`, that the box covers an object (IoU of at "
        "least 0.5); of a model that is not calibrated, its objectness.",
    )


class TimingsMs(BaseModel):
    """Where the time went, in milliseconds; the same as the `Server-Timing` header."""

    decode: Milliseconds = Field(description="Reading the header, decoding, resizing.")
    queue: Milliseconds = Field(description="Waiting for a decoding thread and for the device.")
    inference: Milliseconds = Field(description="The network and the selection, for the whole batch.")


class Result(BaseModel):
    """One picture's ranked boxes."""

    model: ModelRef
    image: ImageInfo
    box_format: BoxFormat = Field(
        description="`xyxy`: two corners; `xywh`: top left corner and size; `cxcywh`: centre and size."
    )
    normalized: bool = Field(description="Divided by the upright width and height; otherwise in pixels.")
    proposals: list[Proposal] = Field(description="Highest score first.")
    count: int = Field(ge=0, description="How many proposals there are.")
    truncated: bool = Field(description="More were found than `top_n`.")
    timings_ms: TimingsMs


class Answer(Result):
    """The answer to a request with one picture."""

    request_id: str = Field(description="The same as the `X-Request-ID` header.")


class ParameterFault(BaseModel):
    """What is wrong with one query parameter."""

    parameter: str
    reason: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(description="A stable URN, one for each cause.", examples=["urn:rpn:problem:overloaded"])
    title: str = Field(description="The cause in words; the same each time.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened this time.")
    instance: str = Field(description="A URN of this occurrence.")
    code: str = Field(description="The cause for programs; the end of `type`.", examples=["overloaded"])
    request_id: str = Field(description="The same as the `X-Request-ID` header.")
    errors: list[ParameterFault] | None = Field(default=None, description="The query parameters at fault.")
    retry_after: int | None = Field(default=None, description="Seconds until it is worth asking again.")
    index: int | None = Field(default=None, description="Which picture of several, from 0.")
    filename: str | None = Field(default=None, description="That picture's file name, if it came with one.")


class Answers(BaseModel):
    """The answer to a request with several pictures: a result or a problem for each, in their order."""

    request_id: str = Field(description="The same as the `X-Request-ID` header.")
    results: list[Result | Problem]


class Health(BaseModel):
    """The process and its inference thread are alive."""

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """Every model is loaded and warm, and the process is not leaving."""

    status: Literal["ready"] = "ready"


class LoadedModelCard(BaseModel):
    """A loaded model and what its checkpoint says of itself."""

    name: str = Field(description="The name to ask for it by.")
    default: bool = Field(description="Used when a request names no model.")
    version: str
    digest: str
    checkpoint: str = Field(description="The checkpoint's own name.")
    architecture: str
    parameters: int
    device: str
    runtime: str = Field(description="What computes the network, and in which format.")
    input_rule: str = Field(description="How pictures are resized.")
    canvases: list[str] = Field(description="The padded shapes that the network sees, width x height.")
    max_top_n: int = Field(description="Most proposals that this model returns.")
    nms_iou: float = Field(description="The `nms_iou` of requests that name none.")
    overlap_penalty: str | None = Field(
        description="What a proposal much like a better one loses of its score; nothing at a strict `nms_iou`."
    )
    provenance: dict[str, Any]
    metrics: dict[str, Any]


class LoadedModels(BaseModel):
    """What is loaded."""

    default: str | None = Field(description="The model for requests that name none.")
    models: list[LoadedModelCard]
