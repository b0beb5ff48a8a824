"""A multipart form, parsed as it streams in, to the pictures in its ``image`` parts."""

import logging
import re
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.errors import MalformedMultipart, MissingImage, TooManyPictures

FORM_FIELD = "image"

# Forms bring a few fields of their own (tokens, submit buttons); thousands of empty parts only cost time.
_MAX_OTHER_PARTS = 32
# A boundary is one that no part's data has in it. At each that does the parser steps through Python, byte by byte, so
# megabytes of them would hold up everyone.
_MAX_BOUNDARIES = 1000
# Spaces and tabs after a boundary, which RFC 2046 allows and nobody sends: each costs as much as 200 bytes of data.
_MAX_PADDING = 64
# RFC 2046 gives a boundary 70 characters; 64 KiB of quotes and semicolons would hold up everyone as well.
_MAX_CONTENT_TYPE = 1000

# The parser warns of each form that is malformed, which the caller is told.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


@dataclass(slots=True)
class Part:
    """One part: its bytes as far as they are kept, whole once it has ended, and how many there were."""

    name: str = ""
    filename: str | None = None
    size: int = 0
    data: bytes = b""
    pieces: list[bytes] = field(default_factory=list)


class PictureForm:
    """Feed it the body piece by piece, then `finish` gives the picture parts in their order.

    Of a picture that is too large the bytes are dropped and only counted; other parts' bytes are never kept.
    """

    def __init__(self, content_type: str, *, max_picture_bytes: int, max_pictures: int) -> None:
        self._max_picture_bytes = max_picture_bytes
        self._max_pictures = max_pictures
        self._pictures: list[Part] = []
        self._others: list[str] = []
        self._part = Part()
        self._header_name = self._header_value = b""
        self._fed = 0  # bytes
        self._begun = self._ended = False
        self._boundaries = 0
        self._delimiter = b""
        self._tail = b"\r\n"  # so much of what came before as may begin a boundary with its padding; the first has none
        self._parser = self._build_parser(content_type)

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            MalformedMultipart: they cannot follow what came before.
            TooManyPictures: there are more than allowed.
        """
        self._check_boundaries(piece)
        try:
            self._parser.write(piece)
        except FormParserError as error:
            if not self._begun:
                raise MalformedMultipart(
                    "the body does not begin with a line of its content type's boundary"
                ) from error
            raise MalformedMultipart(f"the multipart body is malformed ({error})") from error
        self._fed += len(piece)

    def _check_boundaries(self, piece: bytes) -> None:
        found = piece.count(self._delimiter)
        self._boundaries += found
        if self._boundaries > _MAX_BOUNDARIES:
            raise MalformedMultipart(f"the boundary occurs more than {_MAX_BOUNDARIES} times")
        longest = len(self._delimiter) + _MAX_PADDING
        seam = self._tail + piece[: longest + 1]
        if self._too_padded.search(seam) or (found and self._too_padded.search(piece)):
            raise MalformedMultipart(f"more than {_MAX_PADDING} spaces follow a boundary")
        self._tail = (self._tail + piece)[-longest:] if len(piece) < longest else piece[-longest:]

    def finish(self) -> list[Part]:
        """The pictures, at least one.

        Raises:
            MalformedMultipart: the body ended before its last boundary.
            MissingImage: there was no body, or no part was one; names the parts that there were.
        """
        if not self._fed:
            raise MissingImage(f"the form is empty; send a picture as its field {FORM_FIELD!r}")
        if not self._ended:
            raise MalformedMultipart("the multipart body ends before its closing boundary")
        if not self._pictures:
            found = ", ".join(map(repr, self._others)) or "none"
            raise MissingImage(f"no part of the form is named {FORM_FIELD!r}; its parts: {found}")
        return self._pictures

    def _build_parser(self, content_type: str) -> MultipartParser:
        if len(content_type) > _MAX_CONTENT_TYPE:
            raise MalformedMultipart(f"the content type has more than {_MAX_CONTENT_TYPE:,} characters")
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise MalformedMultipart("the content type names no boundary")
        self._delimiter = b"\r\n--" + boundary
        self._too_padded = re.compile(b"%s[ \\t]{%d}" % (re.escape(self._delimiter), _MAX_PADDING + 1))
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._sort_part,
                    "on_part_data": self._add_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise MalformedMultipart(str(error)) from error

    def _begin_part(self) -> None:
        self._begun = True
        self._part = Part()

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            _, options = parse_options_header(self._header_value)
            self._part.name = _text(options.get(b"name", b""))
            self._part.filename = _text(options[b"filename"]) if options.get(b"filename") else None
        self._header_name = self._header_value = b""

    def _sort_part(self) -> None:
        if self._part.name == FORM_FIELD:
            self._pictures.append(self._part)
        else:
            self._others.append(self._part.name[:64])
        if len(self._pictures) > self._max_pictures:
            raise TooManyPictures(f"more than {self._max_pictures} pictures in one request")
        if len(self._others) > _MAX_OTHER_PARTS:
            raise MalformedMultipart(f"more than {_MAX_OTHER_PARTS} parts are not named {FORM_FIELD!r}")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        part.size += end - start
        if part.size > self._max_picture_bytes:
            part.pieces.clear()
        elif part.name == FORM_FIELD:
            part.pieces.append(data[start:end])

    def _end_part(self) -> None:
        """Joined one by one: all of them at once would be held twice."""
        self._part.data = b"".join(self._part.pieces)
        self._part.pieces.clear()

    def _end(self) -> None:
        self._ended = True


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
