"""Any of Pillow's modes to the 8-bit RGB that a person sees."""

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, TiffImagePlugin

_BEHIND = "white"  # what viewers and browsers show behind transparency
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO = 0
_UNSIGNED = (1,)
_HEADROOM = 16.0  # lies as far above 1.0 as 255 above it, in ratio: where one convention's range becomes the next's


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode to the 8-bit RGB that a person sees.

    Transparency is shown on white, deep samples keep their top 8 bits (Pillow's own conversion clips them), and CMYK
    goes through its embedded profile where it has a usable one. Profiles of RGB and grey pictures are passed over:
    they change less than two cameras differ by.
    """
    image.load()  # after which a picture's mode and transparency are what they will be
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        return _from_deep_grey(image)
    if image.mode == "CMYK":
        return _from_cmyk(image)
    if image.has_transparency_data:
        straight = image.convert("LA") if image.mode == "La" else image  # Pillow cannot take La any further at once
        rgba = straight if straight.mode == "RGBA" else straight.convert("RGBA")
        shown = Image.new("RGB", rgba.size, _BEHIND)
        shown.paste(rgba, (0, 0), rgba)  # without a copy: a large picture's takes hundreds of megabytes
        return shown
    return image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    samples = np.asarray(image)
    tags: Mapping[int, Any] = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    if image.mode.startswith("F"):
        grey = _from_floats(samples)
    elif image.mode.startswith("I;16"):
        grey = _top_8_bits(samples, of=12 if tags.get(_TIFF_BITS) == (12,) else 16)
    else:
        grey = _from_integers(samples, unsigned=tags.get(_TIFF_SAMPLE_FORMAT, _UNSIGNED) == _UNSIGNED)
    if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow turns only 8-bit samples the right way round
        grey = 255 - grey
    if "transparency" in image.info:
        grey[samples == image.info["transparency"]] = 255
    return Image.fromarray(grey).convert("RGB")


def _from_integers(samples: npt.NDArray[np.int32], *, unsigned: bool) -> npt.NDArray[np.uint8]:
    """Samples of 32 bits, whose white nothing tells: the highest that fits in as few bits as they all do."""
    whole = samples.view(np.uint32) if unsigned else np.maximum(samples, 0)
    peak = int(whole.max())
    return _top_8_bits(whole, of=next(bits for bits in (8, 16, 32) if peak < 2**bits))


def _from_floats(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Samples of 0 to 1, to 255 or to 65535, by whichever their peak is nearest to in ratio; what is no number: 0."""
    peak = float(samples.max(initial=0.0, where=np.isfinite(samples)))
    white = 1.0 if peak <= _HEADROOM else 255.0 if peak <= 255.0 * _HEADROOM else 65535.0
    shown: npt.NDArray[np.float32] = np.fmax(samples, np.float32(0))  # of NaN and 0 it takes 0
    np.minimum(shown, white, out=shown)  # in place from here on: a large picture's copy takes hundreds of megabytes
    shown *= np.float32(255.0 / white)
    return np.rint(shown, out=shown).astype(np.uint8)


def _top_8_bits(samples: npt.NDArray[Any], *, of: int) -> npt.NDArray[np.uint8]:
    top = np.empty(samples.shape, dtype=np.uint8)
    np.right_shift(samples, of - 8, out=top, casting="unsafe")  # cast piece by piece: no copy of the whole
    return top


def _from_cmyk(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):  # a broken profile: the plain conversion
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
    return image.convert("RGB")
