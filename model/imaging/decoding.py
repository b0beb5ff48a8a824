"""Encoded bytes to the upright RGB picture that a person would see.

The header is read first (format, declared pixels), so that what we do not take is refused before any pixel is
decoded. Pillow decodes: torchvision's own codecs are deprecated since 0.29.
"""

import contextlib
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from model.errors import TooManyPixels, UndecodablePicture, UnsupportedFormat
from model.structures import ImageSize

# We hold pictures against our own, settable limit before decoding; Pillow's fixed one would warn or raise elsewhere.
Image.MAX_IMAGE_PIXELS = None

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

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

_ORIENTATION_TAG = 0x0112
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_WHITE = (255, 255, 255, 255)  # what viewers and browsers show behind transparency


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
            self._image: Image.Image = Image.open(io.BytesIO(data), formats=(kind,))
            size = ImageSize(*self._image.size)
        except Exception as error:  # Pillow's plugins raise whatever a malformed header leads them to
            raise UndecodablePicture(f"the {kind} header cannot be read ({_reason(error)})") from error
        if size.pixels > max_pixels:
            raise TooManyPixels(f"the picture declares {size} = {size.pixels:,} pixels, more than {max_pixels:,}")
        orientation = _orientation(self._image)
        if orientation in _SIDEWAYS:
            size = ImageSize(size.height, size.width)
        self.header = Header(kind, size, orientation)

    def decode(self, at_least: ImageSize | None = None) -> Image.Image:
        """The first frame, upright, 8-bit RGB.

        With ``at_least`` (an upright size) a JPEG is decoded at the smallest DCT scale that is no smaller, which is
        many times cheaper for a large photograph; the result then has that scale's size, not the picture's.

        Raises:
            UndecodablePicture: the data are truncated or corrupt.
        """
        header = self.header
        try:
            if at_least is not None and header.format == "JPEG":
                width, height = at_least.width, at_least.height
                self._image.draft(self._image.mode, (height, width) if header.is_sideways else (width, height))
            self._image.load()
            return _upright(to_rgb(self._image), header.exif_orientation)
        except Exception as error:  # as above: any fault in here is the picture's
            raise UndecodablePicture(f"the {header.format} data cannot be decoded ({_reason(error)})") from error


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


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode to the 8-bit RGB that a person sees.

    Transparency is shown on white, 16-bit samples keep their top 8 bits (Pillow's own conversion clips them), and
    CMYK goes through its embedded profile where it has a usable one.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        return _from_deep_grey(image)
    if image.mode == "CMYK":
        return _from_cmyk(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, _WHITE), rgba).convert("RGB")
    return image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    samples = np.nan_to_num(np.asarray(image).astype(np.float32))
    peak = float(samples.max(initial=0.0))
    # 16-bit samples span 0..65535 and float samples 0..1 by convention; samples that fit 8 bits are 8-bit ones.
    white = 65535.0 if image.mode.startswith("I;16") or peak > 255.0 else 255.0
    if image.mode.startswith("F") and peak <= 1.0:
        white = 1.0
    grey = np.clip(samples / white * 255.0, 0.0, 255.0).astype(np.uint8)
    return Image.fromarray(grey, "L").convert("RGB")


def _from_cmyk(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):  # a broken profile: the plain conversion
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # unreadable EXIF says nothing of the orientation, and must not cost the picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


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


def _reason(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
