"""A request's body to the pictures in it, counted as it arrives and never read past the limits."""

import asyncio
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from service.admission import Permit
from service.errors import (
    MissingImage,
    PayloadTooLarge,
    ServiceError,
    UnsupportedFormat,
    UploadTimeout,
    shortened,
)
from service.multipart import FORM_FIELD, PictureForm
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Upload:
    """One encoded picture, or why it was not taken."""

    data: bytes
    filename: str | None = None
    error: ServiceError | None = None


class BodyReader:
    """The pieces of a body, one by one, under a limit of bytes and two limits of time.

    It takes ``Request.receive`` and nothing above it: with an ``UploadFile`` the framework would read the whole
    body before any of our code runs.
    """

    def __init__(self, request: Request, settings: Settings, permit: Permit, *, max_bytes: int) -> None:
        self._request = request
        self._permit = permit
        self._silence_s = settings.body_timeout_s
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._whole_s = settings.upload_timeout_s
        self._end = self._loop.time() + self._whole_s
        self._read = 0
        self._complete = False
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes:
            raise self._too_large()

    async def next_piece(self) -> bytes | None:
        """The next piece, or None at the end.

        Raises:
            UploadTimeout: nothing came for too long, or the whole takes too long.
            PayloadTooLarge: the pieces so far are more than allowed.
            Overloaded: with those of other requests they are more than is held.
            ClientDisconnect: nobody is there any more.
        """
        if self._complete:
            return None
        try:
            async with asyncio.timeout_at(min(self._loop.time() + self._silence_s, self._end)):
                message = await self._request.receive()
        except TimeoutError:
            raise self._timed_out() from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._complete = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        self._read += len(piece)
        if self._read > self._max_bytes:
            raise self._too_large()
        self._permit.hold(len(piece))
        return piece

    def _timed_out(self) -> UploadTimeout:
        if self._loop.time() < self._end:
            return UploadTimeout(f"the upload stalled after {self._read:,} bytes")
        return UploadTimeout(
            f"after {self._whole_s:g} s the upload has not come to its end; it has {self._read:,} bytes"
        )

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"the body is larger than {self._max_bytes:,} bytes")


async def read_uploads(request: Request, settings: Settings, permit: Permit) -> list[Upload]:
    """Every picture of a request, at least one, in their order.

    A multipart body may hold several; one that is too large among several is left out alone, with its error.

    Raises:
        ServiceError: the request as a whole cannot be taken.
        ClientDisconnect: nobody is there any more.
    """
    _check_codings(request)
    content_type = request.headers.get("content-type", "")
    if content_type.strip().lower().startswith("multipart/"):
        return await _read_multipart(request, settings, permit, content_type)
    return [await _read_raw(request, settings, permit)]


def _check_codings(request: Request) -> None:
    """Pictures are compressed as they are, so nothing is unpacked; but who packs one is to be told what is wrong."""
    for header, plain in (("content-encoding", "identity"), ("transfer-encoding", "chunked")):
        coding = request.headers.get(header, plain).strip().lower()
        if coding not in ("", plain):
            raise UnsupportedFormat(f"the body is sent with {header} {shortened(coding)!r}; send it as it is")


async def _read_raw(request: Request, settings: Settings, permit: Permit) -> Upload:
    reader = BodyReader(request, settings, permit, max_bytes=settings.max_upload_bytes)
    pieces = []
    while (piece := await reader.next_piece()) is not None:
        pieces.append(piece)
    data = b"".join(pieces)
    if not data:
        raise MissingImage(f"the body is empty; send a picture as the body or as the multipart field {FORM_FIELD!r}")
    return Upload(data)


async def _read_multipart(request: Request, settings: Settings, permit: Permit, content_type: str) -> list[Upload]:
    reader = BodyReader(request, settings, permit, max_bytes=settings.max_request_bytes)
    form = PictureForm(content_type, max_picture_bytes=settings.max_upload_bytes, max_pictures=settings.max_pictures)
    while (piece := await reader.next_piece()) is not None:
        form.feed(piece)
    return [_taken(part.data, part.filename, part.size, settings) for part in form.finish()]


def _taken(data: bytes, filename: str | None, size: int, settings: Settings) -> Upload:
    if size > settings.max_upload_bytes:
        limit = settings.max_upload_bytes
        return Upload(b"", filename, PayloadTooLarge(f"the picture has {size:,} bytes, more than {limit:,}"))
    if not size:
        return Upload(b"", filename, MissingImage("the picture is empty (0 bytes)"))
    return Upload(data, filename)
