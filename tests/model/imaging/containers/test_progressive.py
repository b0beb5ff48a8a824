"""A progressive JPEG less its detail: the same pixels at an eighth of its size, of far fewer bytes."""

import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from model.errors import PictureError, UndecodablePicture
from model.imaging.containers.jpeg import SCAN, segments
from model.imaging.containers.progressive import without_detail
from model.imaging.decoding import Picture
from model.structures import ImageSize
from tests.encoded_pictures import encode, jpeg_segment, smooth

END = b"\xff\xd9"


@pytest.fixture(scope="module")
def photograph():
    return Image.fromarray(pytest.importorskip("skimage.data").astronaut())


def progressive(image, **options):
    return encode(image, "JPEG", progressive=True, **{"quality": 90, **options})


def at(scale, jpeg):
    """What libjpeg makes of it at a half, a quarter or an eighth."""
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(jpeg))
    image.draft(image.mode, (image.width // scale, image.height // scale))
    assert image.decoderconfig[0] == scale
    return np.asarray(image)


def scans(jpeg):
    """Of each scan its components, and its first coefficient."""
    found = [segment for marker, segment in segments(jpeg) if marker == SCAN]
    return [(tuple(scan[5 : 5 + 2 * scan[4] : 2]), scan[5 + 2 * scan[4]]) for scan in found]


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(8, 300),
    height=st.integers(8, 300),
    mode=st.sampled_from(["RGB", "L", "CMYK"]),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    restarts=st.sampled_from([{}, {"restart_marker_rows": 1}, {"restart_marker_blocks": 3}]),
)
@example(width=4096, height=2048, mode="L", subsampling="4:4:4", restarts={})  # more blocks than a code tells of
def test_the_same_pixels_at_an_eighth(photograph, width, height, mode, subsampling, restarts):
    picture = photograph.resize((width, height), Image.Resampling.BICUBIC).convert(mode)
    whole = progressive(picture, subsampling=subsampling, **restarts)
    lean = without_detail(whole)
    assert lean != whole
    assert [segment for marker, segment in segments(lean) if marker == 0xDD][-1].endswith(b"\0\0")  # no restarts
    assert np.array_equal(at(8, lean), at(8, whole))


@pytest.mark.parametrize(
    ("subsampling", "detailed"), [("4:4:4", set()), ("4:2:2", set()), ("4:2:0", {2, 3})], ids=lambda value: str(value)
)
def test_detail_is_left_out_where_an_eighth_shows_means_alone(photograph, subsampling, detailed):
    """Colours of half the size both ways are decoded at a quarter."""
    whole = progressive(photograph, subsampling=subsampling)
    lean = without_detail(whole)
    assert {name for names, first in scans(whole) if first for name in names} == {1, 2, 3}
    sent = scans(lean)[: len(scans(lean)) - (3 - len(detailed))]  # the last ones say of the others that there is none
    assert {name for names, first in sent if first for name in names} == detailed
    assert len(lean) < len(whole) / 2


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_larger_scale_keeps_its_detail(photograph, scale):
    whole = progressive(photograph)
    scaled = Picture(whole, max_pixels=10**6).decode_scaled(ImageSize(512 // scale, 512 // scale)).image
    assert np.array_equal(scaled, at(scale, whole))
    assert not np.array_equal(at(scale, without_detail(whole)), at(scale, whole))


def with_unreadable_detail(jpeg):
    """Its luminance's last scan, of most bytes, asks for a table that is not there."""
    parts = list(segments(jpeg))
    _, scan = parts[-2]
    assert scan[4:6] == b"\1\1"
    return jpeg[:2] + b"".join([*(part for _, part in parts[:-2]), scan[:6] + b"\3" + scan[7:], END])


def test_a_picture_is_decoded_without_the_detail_that_does_not_show(photograph):
    whole = progressive(photograph)
    picture = Picture(with_unreadable_detail(whole), max_pixels=10**6)
    assert np.array_equal(picture.decode_scaled(ImageSize(64, 64)).image, at(8, whole))
    with pytest.raises(UndecodablePicture):
        picture.decode()


def less_scans(jpeg, left_out):
    parts = list(segments(jpeg))
    at_end = [number for number, (marker, _) in enumerate(parts) if marker == SCAN][-left_out:]
    return jpeg[:2] + b"".join(part for number, (_, part) in enumerate(parts) if number not in at_end)


def test_where_detail_is_missing_the_decoder_guesses_at_it(photograph):
    """As libjpeg smooths what came so far of a picture; so what did come is needed, the last bits of it as well."""
    whole = progressive(photograph, subsampling="4:4:4")
    for left_out in range(1, len(scans(whole))):
        part = less_scans(whole, left_out)
        assert np.array_equal(at(8, without_detail(part)), at(8, part)), left_out
    means_alone = less_scans(whole, len(scans(whole)) - 1)
    assert without_detail(means_alone) is means_alone


@pytest.mark.parametrize(
    "jpeg",
    [
        encode(smooth(), "JPEG"),
        progressive(smooth()).removesuffix(END),
        progressive(smooth())[:-40],
        b"\xff\xd8" + END,
        b"\xff\xd8" + jpeg_segment(0xC2, b"\x08\0\x10\0\x10\0") + END,
        b"\xff\xd8" + jpeg_segment(0xC2, b"\x08\0\x10\0\x10\1\1\0\0") + jpeg_segment(SCAN, b"\1\1\0\1\x3f\0") + END,
        b"\xff\xd8" + jpeg_segment(0xC2, b"\x08\0\x10\0\x10\1\1\x11\0") + jpeg_segment(SCAN, b"\1\2\0\1\x3f\0") + END,
        b"\xff\xd8" + jpeg_segment(0xC2, b"\x08\0\x10\0\x10\1\1\x11\0") + jpeg_segment(SCAN) + END,
    ],
    ids=["baseline", "no end", "truncated", "empty", "no components", "no samples", "unknown component", "bare scan"],
)
def test_what_is_no_whole_progressive_picture_stays_as_it_is(jpeg):
    assert without_detail(jpeg) is jpeg


@settings(max_examples=200, deadline=None)
@given(place=st.integers(2, 750), value=st.integers(0, 255))
def test_a_wrong_byte_is_left_to_the_decoder(place, value):
    whole = progressive(smooth())
    damaged = whole[:place] + bytes((value,)) + whole[place + 1 :]
    try:
        picture = Picture(damaged, max_pixels=10**6)
        size = picture.header.size
        scaled = picture.decode_scaled(ImageSize(max(1, size.width // 8), max(1, size.height // 8)))
    except PictureError:
        return
    assert scaled.image.size == (-(-size.width // 8), -(-size.height // 8))
