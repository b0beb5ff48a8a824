"""Encoded bytes to the upright RGB picture that a person would see.

The header is read first (format, declared pixels), so that what we do not take is refused before any pixel is
decoded. Pillow decodes: torchvision's own codecs are deprecated since 0.29.
"""

import contextlib
import ctypes
import io
import logging
import re
import struct
import warnings
from dataclasses import dataclass

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    _imaging,
)

from model.errors import TooManyPixels, UndecodablePicture, UnsupportedFormat
from model.imaging.colours import to_rgb
from model.imaging.containers.formats import read_container
from model.imaging.containers.progressive import without_detail
from model.structures import ImageSize, Part

# We hold pictures against our own, settable limit before decoding; Pillow's fixed one would warn or raise elsewhere.
Image.MAX_IMAGE_PIXELS = None

# Pillow warns of metadata that it passes over, which is nothing to the caller. Once for the whole process, because
# `warnings.catch_warnings` around each call would be a race between the threads that decode.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# And it logs: what matters of it, it raises too; the rest is a line for each tag of each TIFF.
logging.getLogger("PIL").setLevel(logging.CRITICAL)


def _quieten_libtiff() -> None:
    """Keep libtiff from writing each fault of a TIFF to the terminal: Pillow leaves its default handlers in place.

    What it says is lost, what it does is not: Pillow raises all the same. Where Pillow was built without libtiff, or
    with one that cannot be reached, nothing changes.
    """
    with contextlib.suppress(OSError, AttributeError):
        libtiff = ctypes.CDLL(_imaging.__file__)  # looked up in whatever Pillow's own module is linked with
        for handler in (libtiff.TIFFSetErrorHandler, libtiff.TIFFSetWarningHandler):
            handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            handler(None)


_quieten_libtiff()

# Opened directly: `Image.open` would hide the reason of a failure, and take a multi-picture JPEG for something else.
_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}

FORMATS = tuple(_PLUGINS)

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),  # BigTIFF
    (b"MM\x00+", "TIFF"),
)

_SCALE_OF_MEANS = 8  # Pillow's coarsest: a pixel for each block of a JPEG

_BMP_RUN_LENGTHS = (1, 2)  # of 8 and of 4 bits
_LARGEST_RUN_LENGTH = 4_000_000  # pixels: Pillow unpacks them in Python, in a second or two

_UNREAD_SAMPLES = "unknown pixel mode"  # Pillow's words for bits, kinds of numbers and colours that it does not combine

# EXIF orientations that swap width and height, and those that show what is stored rightmost or lowest first.
_SIDEWAYS = (5, 6, 7, 8)
_MIRRORED_ACROSS, _MIRRORED_DOWN = (2, 3, 7, 8), (3, 4, 6, 7)


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture declares of itself: ``size`` is upright, EXIF orientation (1 to 8) applied."""

    format: str
    size: ImageSize
    exif_orientation: int

    @property
    def is_sideways(self) -> bool:
        """EXIF turns the stored pixels by a quarter, so that width and height change places."""
        return self.exif_orientation in _SIDEWAYS


@dataclass(frozen=True, slots=True)
class ScaledPicture:
    """A decoded picture, upright, 8-bit RGB, and which part of it the picture is: left, top, right and bottom, in its
    pixels.

    libjpeg rounds up what it makes of a side, so at a half, a quarter or an eighth of its sides a JPEG has a column or
    a row that lies in part beyond the picture, and without its ``part`` boxes would be off by up to seven pixels.
    """

    image: Image.Image
    part: Part


class Picture:
    """A picture whose header has been read and whose pixels have not.

    Raises:
        UnsupportedFormat: the bytes are none of `FORMATS`.
        TooManyPixels: the header declares more than ``max_pixels``.
        UndecodablePicture: the bytes are empty, or the header is broken.
    """

    def __init__(self, data: bytes, *, max_pixels: int) -> None:
        kind = sniff(data)
        try:
            container = read_container(kind, data)
        except ValueError as error:
            raise UndecodablePicture(f"the {kind} header cannot be read ({_reason(error)})") from error
        size, orientation = container.size, container.orientation
        if orientation in _SIDEWAYS:
            size = ImageSize(size.height, size.width)
        if size.pixels > max_pixels:
            raise TooManyPixels(f"the picture declares {size} = {size.pixels:,} pixels, more than {max_pixels:,}")
        self.header = Header(kind, size, orientation)
        self._container = container

    def decode(self) -> Image.Image:
        """The first frame, upright, 8-bit RGB.

        Raises:
            UndecodablePicture: the data are truncated or corrupt, or a TIFF's samples of a kind that is not read.
        """
        return self.decode_scaled(self.header.size).image

    def decode_scaled(self, at_least: ImageSize) -> ScaledPicture:
        """The same, of a JPEG at the smallest DCT scale that is no smaller than this upright size.

        That is many times cheaper for a large photograph; the result then has that scale's size, not the picture's.

        Raises:
            UndecodablePicture: the data are truncated or corrupt, or a TIFF's samples of a kind that is not read.
        """
        try:
            return self._decoded(at_least)
        except Exception as error:  # Pillow's plugins raise whatever malformed data lead them to
            raise UndecodablePicture(f"the {self.header.format} data cannot be decoded ({_reason(error)})") from error

    def _decoded(self, at_least: ImageSize) -> ScaledPicture:
        kind, orientation = self.header.format, self.header.exif_orientation
        image = _PLUGINS[kind](io.BytesIO(self._container.essentials))
        declared = self.header.size if kind == "TIFF" else self._container.size
        if image.size != (declared.width, declared.height):  # or the limit would have been held against another size
            raise ValueError(f"its header reads as {declared}, then as {image.width}x{image.height}")
        if kind == "TIFF":
            return _whole(_from_tiff(image))
        if kind == "GIF":
            return _whole(_from_gif(image))
        if kind == "BMP":
            return _whole(_from_bmp(image))
        if kind == "JPEG":
            image, part = self._draft_jpeg(image, at_least)
            return ScaledPicture(_upright(to_rgb(image), orientation), part)
        return _whole(_upright(to_rgb(image), orientation))

    def _draft_jpeg(self, image: ImageFile.ImageFile, at_least: ImageSize) -> tuple[ImageFile.ImageFile, Part]:
        width, height = at_least.width, at_least.height
        stored_at_least = (height, width) if self.header.is_sideways else (width, height)
        drafted = image.draft(image.mode, stored_at_least)
        if drafted is None:
            return image, (0, 0, self.header.size.width, self.header.size.height)
        if image.decoderconfig[0] == _SCALE_OF_MEANS and image.info.get("progressive"):
            image = JpegImagePlugin.JpegImageFile(io.BytesIO(without_detail(self._container.essentials)))
            image.draft(image.mode, stored_at_least)
        return image, _upright_part(drafted[1], ImageSize(*image.size), self.header.exif_orientation)


def sniff(data: bytes) -> str:
    """The format by its signature, one of `FORMATS`.

    Raises:
        UndecodablePicture: there are no bytes.
        UnsupportedFormat: the signature is none that we read.
    """
    if not data:
        raise UndecodablePicture("the picture is empty (0 bytes)")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            return kind
    raise UnsupportedFormat(f"the data are none of {', '.join(FORMATS)}")


def _from_tiff(image: ImageFile.ImageFile) -> Image.Image:
    """Pillow turns a TIFF upright while it loads it, and would look for an orientation in its XMP as well."""
    image.info.pop("xmp", None)
    image.load()
    return to_rgb(image)


def _from_gif(image: ImageFile.ImageFile) -> Image.Image:
    """The first frame on its screen: what it does not cover is transparent, where Pillow shows colour 0."""
    covered = image.tile[0].extents
    rgb = to_rgb(image)
    if covered is None or covered == (0, 0, *rgb.size):
        return rgb
    screen = Image.new("RGB", rgb.size, "white")
    screen.paste(rgb.crop(covered), covered)
    return screen


def _from_bmp(image: ImageFile.ImageFile) -> Image.Image:
    """Alpha of nothing but 0 means a writer that left alpha out: browsers show the colours."""
    if image.info["compression"] in _BMP_RUN_LENGTHS and image.width * image.height > _LARGEST_RUN_LENGTH:
        raise ValueError(f"run-length coding is taken up to {_LARGEST_RUN_LENGTH:,} pixels")
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")
    return to_rgb(image)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    method = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    return image if method is None else image.transpose(method)


def _upright_part(stored: Part, size: ImageSize, orientation: int) -> Part:
    """A part that begins at the stored top left corner, of so many stored pixels, after `_upright`."""
    _, _, width, height = stored
    left = size.width - width if orientation in _MIRRORED_ACROSS else 0
    top = size.height - height if orientation in _MIRRORED_DOWN else 0
    if orientation in _SIDEWAYS:
        return (top, left, top + height, left + width)
    return (left, top, left + width, top + height)


def _whole(image: Image.Image) -> ScaledPicture:
    return ScaledPicture(image, (0, 0, image.width, image.height))


def _reason(error: Exception) -> str:
    """An error's own words, fit for a sentence: one line, no Python objects, never a bare number."""
    cause = error.__cause__ or error  # Pillow wraps what a plugin raised while it opened the file
    if isinstance(cause, IndexError | struct.error):
        return "the data end too early"
    if _UNREAD_SAMPLES in str(error):
        return "bits, numbers and colours are combined as in none that is read"
    if isinstance(cause, TypeError | AttributeError | AssertionError) or _is_of_bytes(cause):
        return "its fields do not fit together"
    words = re.sub(r"<[^<>]* at 0x[0-9a-f]+>", "the data", str(error)).strip().split("\n")[0][:200].rstrip(" .")
    if isinstance(cause, KeyError):
        return f"{words} is none of the values that are known there"
    return words or type(cause).__name__


def _is_of_bytes(error: BaseException) -> bool:
    """What was looked up in a table of values are bytes, where a number should have been."""
    return isinstance(error, KeyError) and isinstance(error.args[0], bytes)
