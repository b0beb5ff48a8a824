"""Every mode of Pillow's becomes the RGB that a person sees."""

import struct
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms

from model.imaging.colours import to_rgb
from tests.encoded_pictures import BLACK, BLUE, GREEN, RED, WHITE, smooth


def shown(image):
    """The pixels of a picture of one row."""
    rgb = to_rgb(image)
    assert rgb.mode == "RGB"
    assert rgb.size == image.size
    return [tuple(pixel) for pixel in np.asarray(rgb)[0].tolist()]


def row(mode, *pixels):
    image = Image.new(mode, (len(pixels), 1))
    for x, pixel in enumerate(pixels):
        image.putpixel((x, 0), pixel)
    return image


def greys(*values):
    return [(v, v, v) for v in values]


def palette_row(*indices, transparency=None):
    image = row("P", *indices)
    image.putpalette([*RED, *GREEN, *BLUE])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (row("1", 0, 1), greys(0, 255)),
        (row("L", 0, 77, 255), greys(0, 77, 255)),
        (row("LA", (0, 255), (0, 0), (0, 128)), greys(0, 255, 127)),
        (row("LA", (0, 255)).convert("La"), greys(0)),
        (row("La", (0, 0), (100, 255), (50, 128)), greys(255, 100, 177)),
        (palette_row(0, 1, 2), [RED, GREEN, BLUE]),
        (palette_row(0, 1, 2, transparency=1), [RED, WHITE, BLUE]),
        (palette_row(0, 1, 2, transparency=b"\xff\x00\x80"), [RED, WHITE, (127, 127, 255)]),
        (row("RGB", RED, (1, 2, 3)), [RED, (1, 2, 3)]),
        (row("RGBA", (*RED, 255), (*RED, 0), (*BLACK, 51)), [RED, WHITE, (204, 204, 204)]),
        (row("RGBa", (255, 0, 0, 255), (0, 0, 0, 0), (0, 0, 0, 51)), [RED, WHITE, (204, 204, 204)]),
        (row("RGBX", (*RED, 0)), [RED]),
        (row("CMYK", (0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255)), [WHITE, (0, 255, 255), BLACK]),
        (row("YCbCr", (255, 128, 128), (0, 128, 128), (76, 85, 255)), [WHITE, BLACK, (254, 0, 0)]),
        (row("HSV", (0, 255, 255), (85, 255, 255), (0, 0, 90)), [RED, (0, 255, 0), (90, 90, 90)]),
        (row("I;16", 0, 0x1234, 0xFF00, 0xFFFF), greys(0, 0x12, 255, 255)),
        (row("I;16B", 0, 0x1234, 0xFFFF), greys(0, 0x12, 255)),
        (row("I", 0, 77, 255), greys(0, 77, 255)),
        (row("I", 0, 256, 65535), greys(0, 1, 255)),
        (row("I", -5, 0, 0x7FFFFFFF), greys(255, 0, 127)),  # no TIFF says signed: 32 bits, unsigned
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_each_mode(image, expected):
    assert shown(image) == expected


def test_palette_with_alpha():
    image = row("PA", (0, 255), (1, 0), (2, 255))
    image.putpalette([*RED, *GREEN, *BLUE])
    assert shown(image) == [RED, WHITE, BLUE]


def test_palette_whose_colours_have_alpha():
    image = row("P", 0, 1)
    image.putpalette([*RED, 255, *GREEN, 0], "RGBA")
    assert shown(image) == [RED, WHITE]


@pytest.mark.parametrize(
    ("image", "transparency", "expected"),
    [
        (row("1", 0, 1), 0, greys(255, 255)),
        (row("L", 7, 8), 7, greys(255, 8)),
        (row("RGB", RED, BLUE), BLUE, [RED, WHITE]),
        (row("I;16", 0x1234, 0x1235), 0x1234, greys(255, 0x12)),
    ],
)
def test_the_one_transparent_colour_is_white(image, transparency, expected):
    image.info["transparency"] = transparency
    assert shown(image) == expected


def test_lab_is_the_colour_that_it_names():
    seen = to_rgb(smooth().convert("LAB"))
    assert np.abs(np.asarray(seen).astype(int) - np.asarray(smooth())).mean() < 3


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 0.2, 1.3], [0, 51, 255]),  # a highlight above 1 does not turn the rest black
        ([0.0, 77.0, 255.0], [0, 77, 255]),
        ([0.0, 128.0, 256.5], [0, 128, 255]),
        ([0.0, 32767.5, 65535.0], [0, 128, 255]),
        ([np.nan, np.inf, -np.inf, 0.5, 1.0], [0, 255, 0, 128, 255]),
        ([np.nan, np.nan], [0, 0]),
        ([-1.0, 3e38], [0, 255]),
    ],
)
def test_floats_by_the_range_that_they_fill(samples, expected):
    image = Image.fromarray(np.array([samples], dtype=np.float32))
    assert shown(image) == greys(*expected)


# Colour profiles


def cmyk_profile():
    """A minimal ICC profile for CMYK, in which everything without black is pink: so one sees that it was used."""
    pink, black = (round(60 * 2.55), 128 + 50, 128), (0, 128, 128)  # L*a*b* (60, 50, 0), as bytes
    table = bytes(pink + black) * 8  # two grid points a channel, the last channel running fastest
    ramps = bytes(range(256))
    lut = struct.pack(">4sIBBBB9i", b"mft1", 0, 4, 3, 2, 0, *(65536 if i in (0, 4, 8) else 0 for i in range(9)))
    lut += ramps * 4 + table + ramps * 3
    header = struct.pack(
        ">I4sI4s4s4s12s4s4sI4s4sQI3I4s44x",
        *(128 + 16 + len(lut), b"test", 0x02400000, b"prtr", b"CMYK", b"Lab ", bytes(12), b"acsp", b"APPL"),
        *(0, b"none", b"none", 0, 0, 63190, 65536, 54061, b"test"),
    )
    return header + struct.pack(">I4sII", 1, b"A2B0", 144, len(lut)) + lut


def test_cmyk_goes_through_its_profile():
    image = row("CMYK", (255, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 255))
    image.info["icc_profile"] = cmyk_profile()
    cyan, white, black = shown(image)
    assert cyan == pytest.approx((222, 105, 147), abs=4)
    assert (white, black) == (WHITE, BLACK)


@pytest.mark.parametrize(
    "profile",
    [b"no profile", cmyk_profile()[:200], ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b""],
    ids=["text", "cut short", "of RGB", "empty"],
)
def test_cmyk_with_a_profile_of_no_use_is_converted_plainly(profile):
    image = row("CMYK", (255, 0, 0, 0))
    image.info["icc_profile"] = profile
    assert shown(image) == [(0, 255, 255)]


def test_an_rgb_picture_is_not_copied():
    image = smooth()
    assert to_rgb(image) is image


def test_no_conversion_warns_under_any_filter():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown(palette_row(0, 1, transparency=b"\0\x80"))
        shown(Image.fromarray(np.array([[np.nan, -np.inf, 1.0]], dtype=np.float32)))
