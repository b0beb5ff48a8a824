"""What can go wrong on the HTTP side, and how each is answered.

StartupError                 ends start-up with one line; never an answer

ServiceError                 answered as a problem document (RFC 9457)
├── of the request
│   ├── InvalidParameter     422  a query parameter that is unknown, misspelt or out of range
│   ├── UnknownModel         422  a model that is not loaded
│   ├── MissingImage         422  no picture in the request, or an empty one
│   ├── MalformedMultipart   422  a multipart body that cannot be parsed
│   ├── UndecodableImage     422  truncated or corrupt
│   ├── UnsupportedFormat    415  none of the formats that are read
│   ├── PayloadTooLarge      413  more bytes than allowed
│   ├── TooManyPixels        413  more declared pixels than allowed
│   ├── TooManyPictures      413  more pictures in one request than allowed
│   ├── MalformedRequest     400  bytes that are no HTTP
│   ├── HeadTooLarge         431  a first line and headers of more bytes than allowed
│   ├── UploadTimeout        408  a client that stalls
│   ├── NotAcceptable        406  a form of answer that is not written
│   ├── NotFound             404  no such path
│   └── MethodNotAllowed     405  not that method on this path
├── of the moment
│   ├── Overloaded           429  no permit is free
│   ├── NotReady             503  models are still being loaded
│   ├── Draining             503  the process is leaving
│   ├── DeviceMemoryExceeded 503  the device cannot hold even this one picture
│   ├── EngineFailed         503  the inference thread or its device is gone
│   └── DeadlineExceeded     504  not answered in time
└── InternalError            500  a fault of ours

``service.problems`` is the one place that turns them, and the model's errors, into answers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

# What callers made up is told back to them so far.
_LONGEST_NAME = 64


class StartupError(Exception):
    """The service cannot start; the message is one line for the person who started it."""


class ServiceError(Exception):
    """The root: ``detail`` is one sentence for the caller and holds nothing that is not his to know."""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.title)

    @classmethod
    def example(cls) -> Self:
        """One as it may happen, for the documentation."""
        return cls()

    @property
    def detail(self) -> str:
        """What happened this time."""
        return str(self)

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that belong to the answer."""
        return {}

    @property
    def extensions(self) -> Mapping[str, Any]:
        """Further members of the problem document."""
        return {}


class InvalidParameter(ServiceError):
    """A query parameter that is unknown, misspelt or out of range: (parameter, reason) pairs."""

    status, code, title = 422, "invalid_parameter", "A query parameter is not valid"

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        self._faults = tuple((shortened(parameter), reason) for parameter, reason in faults)
        super().__init__("; ".join(f"{parameter}: {reason}" for parameter, reason in self._faults))

    @classmethod
    def example(cls) -> Self:
        """A wish for too many."""
        return cls([("top_n", "Input should be less than or equal to 1000")])

    @property
    def extensions(self) -> Mapping[str, Any]:
        """``errors``: each fault with the parameter's name."""
        return {"errors": [{"parameter": parameter, "reason": reason} for parameter, reason in self._faults]}


class UnknownModel(InvalidParameter):
    """A model that is not loaded."""

    status, code, title = 422, "unknown_model", "No such model is loaded"

    @classmethod
    def example(cls) -> Self:
        """A misspelt name."""
        return cls([("model", "'faces' is not loaded; loaded: general, pedestrian, face")])


class MissingImage(ServiceError):
    """No picture in the request, or an empty one."""

    status, code, title = 422, "missing_image", "The request carries no picture"


class MalformedMultipart(ServiceError):
    """A multipart body that cannot be parsed."""

    status, code, title = 422, "malformed_multipart", "The multipart body cannot be parsed"


class UndecodableImage(ServiceError):
    """Truncated or corrupt, or of a kind that its format knows and Pillow does not."""

    status, code, title = 422, "undecodable_image", "The picture cannot be decoded"


class UnsupportedFormat(ServiceError):
    """None of the formats that are read."""

    status, code, title = 415, "unsupported_format", "The picture's format is not supported"


class PayloadTooLarge(ServiceError):
    """More bytes than allowed."""

    status, code, title = 413, "payload_too_large", "The upload is too large"


class TooManyPixels(ServiceError):
    """More declared pixels than allowed."""

    status, code, title = 413, "too_many_pixels", "The picture has too many pixels"


class TooManyPictures(ServiceError):
    """More pictures in one request than allowed."""

    status, code, title = 413, "too_many_pictures", "The request carries too many pictures"


class MalformedRequest(ServiceError):
    """Bytes that are no HTTP; answered before there is a request."""

    status, code, title = 400, "malformed_request", "The request is not HTTP"

    @property
    def headers(self) -> Mapping[str, str]:
        """Nothing after them could be understood."""
        return {"Connection": "close"}


class HeadTooLarge(ServiceError):
    """A first line and headers of more bytes than allowed; answered before there is a request."""

    status, code, title = 431, "head_too_large", "The request's headers are too large"

    @property
    def headers(self) -> Mapping[str, str]:
        """What comes next on the connection is still of these headers."""
        return {"Connection": "close"}


class UploadTimeout(ServiceError):
    """A client that stalls."""

    status, code, title = 408, "upload_timeout", "The upload took too long"

    @property
    def headers(self) -> Mapping[str, str]:
        """The rest of the body may still come: the connection cannot be used again."""
        return {"Connection": "close"}


class NotAcceptable(ServiceError):
    """A form of answer that is not written."""

    status, code, title = 406, "not_acceptable", "The answer cannot be written in an accepted form"


class NotFound(ServiceError):
    """No such path."""

    status, code, title = 404, "not_found", "No such path"


class MethodNotAllowed(ServiceError):
    """Not that method on this path."""

    status, code, title = 405, "method_not_allowed", "The path does not take this method"

    def __init__(self, detail: str | None = None, *, allow: str = "") -> None:
        super().__init__(detail)
        self._allow = allow

    @classmethod
    def example(cls) -> Self:
        """As it is answered to ``GET /propose``."""
        return cls(allow="POST")

    @property
    def headers(self) -> Mapping[str, str]:
        """``Allow``: the methods that the path takes."""
        return {"Allow": self._allow} if self._allow else {}


class Overloaded(ServiceError):
    """No permit is free, or the queue is too long; ``retry_after`` is in whole seconds."""

    status, code, title = 429, "overloaded", "The service is overloaded"

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"no capacity is free; try again in {retry_after} s")
        self.retry_after = retry_after

    @classmethod
    def example(cls) -> Self:
        """A short queue's."""
        return cls(2)

    @property
    def headers(self) -> Mapping[str, str]:
        """``Retry-After``, computed from the measured drain rate."""
        return {"Retry-After": str(self.retry_after)}

    @property
    def extensions(self) -> Mapping[str, Any]:
        """``retry_after``: the same, for one picture of several, whose problem has no headers."""
        return {"retry_after": self.retry_after}


class NotReady(ServiceError):
    """Models are still being loaded."""

    status, code, title = 503, "not_ready", "The service is not ready"


class Draining(ServiceError):
    """The process is leaving."""

    status, code, title = 503, "draining", "The service is shutting down"


class DeviceMemoryExceeded(ServiceError):
    """The device cannot hold even this one picture."""

    status, code, title = 503, "device_memory_exceeded", "The device's memory cannot hold the picture"


class EngineFailed(ServiceError):
    """The inference thread or its device is gone."""

    status, code, title = 503, "engine_failed", "The inference engine has failed"


class DeadlineExceeded(ServiceError):
    """Not answered in time."""

    status, code, title = 504, "deadline_exceeded", "The deadline has passed"


class InternalError(ServiceError):
    """A fault of ours; the log has the rest."""

    status, code, title = 500, "internal_error", "The service has failed"


def service_errors() -> list[type[ServiceError]]:
    """Every class of the tree below the root, in the order of definition."""
    found: list[type[ServiceError]] = []
    waiting = list(ServiceError.__subclasses__())
    while waiting:
        found.append(waiting.pop(0))
        waiting += found[-1].__subclasses__()
    return found


def shortened(name: str) -> str:
    """A name as it is told back to whoever made it up."""
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"
