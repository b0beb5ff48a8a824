"""Every format, and every way that it stores pixels, to the upright RGB that a person sees."""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.imaging.canvas import draw_on_canvas, left_to_draw, longest_side_rule
from model.imaging.decoding import FORMATS, Picture
from model.structures import ImageSize
from tests.encoded_pictures import (
    BLACK,
    BLUE,
    GREEN,
    RED,
    WHITE,
    bmp,
    colour_chart,
    encode,
    exif_with,
    jpeg_segment,
    one_of_each,
    png,
    png_chunk,
    several,
    smooth,
    tiff,
    with_segments,
    without_segment,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def read(data):
    return Picture(data, max_pixels=50_000_000)


def pixels(data):
    picture = read(data)
    decoded = picture.decode()
    assert decoded.mode == "RGB"
    assert ImageSize(*decoded.size) == picture.header.size
    return np.asarray(decoded)


def first_row(data):
    return [tuple(pixel) for pixel in pixels(data)[0].tolist()]


def distance(one, other):
    return float(np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).mean())


# Whole photographs, whole formats


@pytest.fixture(scope="module")
def photographs():
    """The real photographs in scikit-image's wheel, found there and never downloaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socket.socket.connect", lambda *_: pytest.fail("a download was attempted"))
        data = pytest.importorskip("skimage.data")
        return {name: Image.fromarray(getattr(data, name)()).convert("RGB") for name in ("astronaut", "coffee", "cat")}


@pytest.mark.parametrize("name", ["astronaut", "coffee", "cat"])
@pytest.mark.parametrize(
    ("kind", "options", "bound"),
    [
        ("PNG", {"compress_level": 1}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {"compression": "tiff_deflate"}, 0),
        ("TIFF", {"big_tiff": True}, 0),
        ("WEBP", {"lossless": True, "method": 0, "quality": 0}, 0),
        ("WEBP", {"quality": 90, "method": 0}, 4),
        ("JPEG", {"quality": 92}, 4),
        ("JPEG", {"quality": 92, "progressive": True}, 4),
        ("JPEG", {"quality": 92, "subsampling": "4:1:1"}, 6),
        ("TIFF", {"compression": "jpeg", "quality": 92}, 4),
        ("GIF", {}, 14),
    ],
)
def test_real_photographs(photographs, name, kind, options, bound):
    photograph = photographs[name]
    seen = pixels(encode(photograph, kind, **options))
    assert seen.shape == np.asarray(photograph).shape
    assert distance(seen, photograph) <= bound


def test_the_sample_files_cover_every_format():
    assert {name.split()[0] for name in one_of_each()} == set(FORMATS)


@pytest.mark.parametrize("name", one_of_each())
def test_each_kind_is_recognised_and_decoded(name):
    picture = read(one_of_each()[name])
    assert picture.header.format == name.split()[0]
    assert ImageSize(*picture.decode().size) == picture.header.size


@pytest.mark.parametrize("name", one_of_each())
def test_decoding_again_gives_the_same(name):
    picture = read(one_of_each()[name])
    small = picture.decode_scaled(at_least=ImageSize(2, 2)).image
    first, second = picture.decode(), picture.decode()
    assert np.array_equal(first, second)
    assert small.size <= first.size == (picture.header.size.width, picture.header.size.height)


def test_threads_do_not_disturb_each_other():
    files = list(one_of_each().values())
    alone = [pixels(data) for data in files]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(pixels, files * 3))
    assert all(np.array_equal(a, b) for a, b in zip(alone * 3, together, strict=True))


# JPEG


@pytest.mark.parametrize("name", ["JPEG progressive", "JPEG 4:1:1", "JPEG of two pictures"])
def test_jpeg_of_each_build(name):
    assert distance(pixels(one_of_each()[name]), smooth()) < 4


def test_grey_jpeg():
    assert distance(pixels(one_of_each()["JPEG grey"]), smooth().convert("L").convert("RGB")) < 3


def flat(mode, colour):
    return Image.new(mode, (16, 16), colour)


@pytest.mark.parametrize(
    ("inks", "expected"),
    [((0, 0, 0, 0), WHITE), ((255, 0, 0, 0), (0, 255, 255)), ((0, 0, 0, 255), BLACK), ((0, 255, 255, 0), RED)],
)
def test_cmyk_jpeg(inks, expected):
    jpeg = encode(flat("CMYK", inks), "JPEG", quality=95)
    assert b"Adobe" in jpeg
    for data in (jpeg, without_segment(jpeg, 0xEE)):  # inverted with or without Adobe's word for it, as in browsers
        assert first_row(data)[0] == pytest.approx(expected, abs=3)


def test_ycck_jpeg():
    inks = (55, 155, 205)  # stored as if they were red, green and blue
    y, cb, cr = Image.new("RGB", (1, 1), inks).convert("YCbCr").getpixel((0, 0))
    jpeg = encode(flat("CMYK", (255 - y, 255 - cb, 255 - cr, 0)), "JPEG", quality=100)
    adobe = jpeg.index(b"Adobe")
    ycck = jpeg[: adobe + 11] + b"\2" + jpeg[adobe + 12 :]
    assert first_row(ycck)[0] == pytest.approx((200, 100, 50), abs=3)


def test_jpeg_stored_as_rgb():
    assert first_row(encode(flat("RGB", (200, 30, 60)), "JPEG", quality=100, keep_rgb=True))[0] == pytest.approx(
        (200, 30, 60), abs=2
    )


@pytest.mark.parametrize(
    "segment",
    [
        jpeg_segment(0xE2, b"ICC_PROFILE\0"),
        jpeg_segment(0xE2, b"ICC_PROFILE\0\1\1broken"),
        jpeg_segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
        jpeg_segment(0xE0, b"JFIF\0"),
        jpeg_segment(0xEE, b"Adobe"),
        jpeg_segment(0xED, b"Photoshop 3.0\0" + b"8BIM"),
        jpeg_segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"),
        jpeg_segment(0xFE, b"\xff\xd9 a comment with an end of picture and \xff\xda a scan"),
        jpeg_segment(0xFE) + b"junk between segments",
        b"\xff\xff\xff",
    ],
    ids=["bare profile", "profile", "MPF", "JFIF", "Adobe", "Photoshop", "EXIF", "comment", "junk", "fill"],
)
def test_metadata_that_are_broken_cost_no_jpeg(segment):
    for name in ("JPEG progressive", "JPEG CMYK"):
        whole = one_of_each()[name]
        assert np.array_equal(pixels(with_segments(whole, segment)), pixels(whole))


def test_what_follows_a_jpeg_is_passed_over():
    whole = one_of_each()["JPEG"]
    assert np.array_equal(pixels(whole + b"\xff\xd8 a film that a telephone hung on \xff\xda"), pixels(whole))


# PNG


@pytest.mark.parametrize(
    ("width", "depth", "colour", "row", "before", "expected"),
    [
        (4, 1, 0, b"\xa0", (), [WHITE, BLACK, WHITE, BLACK]),
        (4, 2, 0, b"\x1b", (), [(v, v, v) for v in (0, 85, 170, 255)]),
        (4, 2, 0, b"\x1b", [png_chunk(b"tRNS", b"\0\1")], [(v, v, v) for v in (0, 255, 170, 255)]),
        (2, 4, 0, b"\x1f", [png_chunk(b"tRNS", b"\0\1")], [WHITE, WHITE]),
        (2, 8, 0, b"\x01\x02", [png_chunk(b"tRNS", b"\0\1")], [WHITE, (2, 2, 2)]),
        (3, 16, 0, b"\x12\x34\xff\x00\xff\xff", (), [(0x12,) * 3, WHITE, WHITE]),
        (2, 16, 0, b"\x12\x34\x12\x35", [png_chunk(b"tRNS", b"\x12\x34")], [WHITE, (0x12,) * 3]),
        (2, 8, 2, bytes((*RED, *BLUE)), [png_chunk(b"tRNS", b"\0\xff\0\0\0\0")], [WHITE, BLUE]),
        (1, 16, 2, b"\x12\x99\x34\x99\x56\x99", (), [(0x12, 0x34, 0x56)]),
        (1, 16, 2, b"\x12\x99\x34\x99\x56\x99", [png_chunk(b"tRNS", b"\x12\x99\x34\x99\x56\x99")], [WHITE]),
        (2, 8, 3, b"\0\1", [png_chunk(b"PLTE", bytes((*RED, *BLUE)))], [RED, BLUE]),
        (
            *(2, 8, 3, b"\0\1"),
            [png_chunk(b"PLTE", bytes((*RED, *BLUE))), png_chunk(b"tRNS", b"\0\xff")],
            [WHITE, BLUE],
        ),
        (
            2,
            4,
            3,
            b"\x01",
            [png_chunk(b"PLTE", bytes((*RED, *BLACK))), png_chunk(b"tRNS", b"\xff\x80")],
            [RED, (127,) * 3],
        ),
        (1, 8, 3, b"\0", [png_chunk(b"PLTE", bytes(RED)), png_chunk(b"tRNS", b"\xff" * 300)], [RED]),
        (2, 8, 4, b"\x20\xff\x20\x00", (), [(0x20,) * 3, WHITE]),
        (2, 16, 4, b"\x20\x99\xff\xff\x20\x99\0\0", (), [(0x20,) * 3, WHITE]),
        (2, 8, 6, bytes((*GREEN, 255, *GREEN, 0)), (), [GREEN, WHITE]),
        (1, 16, 6, b"\xff\xff\0\0\0\0\x80\x80", (), [(255, 127, 127)]),
    ],
)
def test_png_of_every_depth_and_colour_type(width, depth, colour, row, before, expected):
    assert first_row(png(width, 1, depth, colour, [row], before)) == expected


def test_interlaced_png():
    passes = b"\0\x0a" + b"\0\x14" + b"\0\x1e\x28"  # of the seven, three hold a pixel of a 2x2 picture
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 1))
    data += png_chunk(b"IDAT", zlib.compress(passes)) + png_chunk(b"IEND")
    assert pixels(data)[..., 0].tolist() == [[10, 20], [30, 40]]


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"tEXt", b"transparency\0yes"),
        png_chunk(b"iCCP", b"name\0\1"),
        png_chunk(b"eXIf", b"MM\0*"),
        png_chunk(b"gAMA", b"\0"),
        png_chunk(b"acTL", bytes(8)),
        png_chunk(b"fcTL", bytes(26)),
        png_chunk(b"tRNS", b"\0"),
        png_chunk(b"tEXt", b"a wrong checksum\0")[:-4] + b"ouch",
    ],
    ids=["keyword", "profile", "EXIF", "gamma", "acTL", "fcTL", "transparency", "checksum"],
)
def test_metadata_that_are_broken_cost_no_png(chunk):
    assert first_row(png(1, 1, 8, 2, [bytes(RED)], [chunk])) == [RED]
    assert first_row(png(1, 1, 8, 2, [bytes(RED)], [], [chunk])) == [RED]


# GIF, animations, pages


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_of_several_frames(kind):
    frames = [flat("RGB", RED), flat("RGB", BLUE), flat("RGB", GREEN)]
    options = {"lossless": True} if kind == "WEBP" else {}
    assert first_row(several(kind, frames, **options))[0] == RED


def gif(screen, frame, indices, control=b"", palette=(*RED, *GREEN, *BLUE, *BLACK)):
    """A GIF of four colours; ``frame`` is (left, top, width, height). No compression: a clear before each colour."""
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80 | 1 if palette else 0, 0, 0) + bytes(palette or b"")
    bits = "".join(f"{code:03b}"[::-1] for index in indices for code in (4, index)) + "101"
    data = bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))
    return head + control + b"," + struct.pack("<HHHHB", *frame, 0) + b"\2" + bytes((len(data),)) + data + b"\0;"


def gif_control(transparent=None, disposal=0):
    flags = disposal << 2 | (transparent is not None)
    return b"!\xf9\4" + struct.pack("<BHBB", flags, 10, transparent or 0, 0)


@pytest.mark.parametrize(
    "control", [b"", gif_control(disposal=2), b"!\xfe\5hello\0" + gif_control(disposal=3), b"\0\0"]
)
def test_gif(control):
    assert first_row(gif((4, 1), (0, 0, 4, 1), [0, 1, 2, 3], control)) == [RED, GREEN, BLUE, BLACK]


def test_transparent_gif():
    assert first_row(gif((3, 1), (0, 0, 3, 1), [0, 1, 2], gif_control(transparent=1))) == [RED, WHITE, BLUE]


@pytest.mark.parametrize("control", [b"", gif_control(transparent=3), gif_control(disposal=2)])
def test_gif_whose_frame_covers_a_part_of_the_screen(control):
    seen = pixels(gif((4, 3), (1, 1, 2, 1), [0, 2], control))
    expected = np.full((3, 4, 3), 255)
    expected[1, 1:3] = RED, BLUE
    assert np.array_equal(seen, expected)


def test_gif_whose_frame_reaches_beyond_the_screen():
    data = gif((1, 1), (1, 0, 2, 2), [0, 1, 2, 3])
    assert read(data).header.size == ImageSize(3, 2)
    assert pixels(data).tolist() == [[list(WHITE), list(RED), list(GREEN)], [list(WHITE), list(BLUE), list(BLACK)]]


def test_gif_without_a_palette_is_grey():
    assert first_row(gif((2, 1), (0, 0, 2, 1), [0, 3], palette=None)) == [BLACK, (3, 3, 3)]


# BMP


PALETTE = bytes((0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 9, 9, 9, 0))  # red, green, blue, nearly black


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bmp(2, 1, 1, b"\x40\0\0\0", PALETTE[:8]), [RED, GREEN]),
        (bmp(2, 1, 1, b"\x40\0\0\0", b"\0\0\0\0\xff\xff\xff\0"), [BLACK, WHITE]),
        (bmp(3, 1, 4, b"\x01\x20\0\0", PALETTE), [RED, GREEN, BLUE]),
        (bmp(3, 1, 8, b"\0\1\2\0", PALETTE), [RED, GREEN, BLUE]),
        (bmp(2, 1, 16, struct.pack("<HH", 0x7C00, 0x001F)), [RED, BLUE]),
        (
            bmp(
                2,
                1,
                16,
                struct.pack("<HH", 0xF800, 0x07E0),
                compression=3,
                masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F),
            ),
            [RED, GREEN],
        ),
        (bmp(2, 1, 24, b"\0\0\xff\xff\0\0\0\0"), [RED, BLUE]),
        (bmp(1, 1, 32, b"\0\0\xff\0"), [RED]),
        (bmp(2, 1, 24, b"\0\0\xff\xff\0\0\0\0", header_size=12), [RED, BLUE]),
        (bmp(3, 1, 8, b"\1\0\2\1\0\1", PALETTE, compression=1), [RED, GREEN, GREEN]),
        (bmp(4, 1, 4, b"\3\x01\1\x20\0\1", PALETTE, compression=2), [RED, GREEN, RED, BLUE]),
    ],
    ids=["1", "1 black and white", "4", "8", "15", "16", "24", "32", "OS/2", "RLE8", "RLE4"],
)
def test_bmp_of_every_depth(data, expected):
    assert first_row(data) == expected


def test_bmp_rows_run_from_the_bottom_or_from_the_top():
    rows = b"\0\0\xff\0" + b"\xff\0\0\0"
    assert pixels(bmp(1, 2, 24, rows))[:, 0].tolist() == [list(BLUE), list(RED)]
    assert pixels(bmp(1, -2, 24, rows))[:, 0].tolist() == [list(RED), list(BLUE)]


ALPHA_MASKS = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def test_bmp_with_alpha():
    data = bmp(2, 1, 32, b"\0\0\xff\xff" + b"\0\0\xff\0", compression=3, masks=ALPHA_MASKS, header_size=56)
    assert first_row(data) == [RED, WHITE]


def test_bmp_whose_writer_left_alpha_out_is_opaque():
    data = bmp(2, 1, 32, b"\0\0\xff\0" + b"\xff\0\0\0", compression=3, masks=ALPHA_MASKS, header_size=56)
    assert first_row(data) == [RED, BLUE]


# TIFF

SIZE = {256: ("H", [2]), 257: ("H", [1])}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("tags", "letter", "samples", "expected"),
    [
        ({258: ("H", [8])}, "B", [0, 200], [0, 200]),
        ({258: ("H", [8]), 262: ("H", [0])}, "B", [0, 200], [255, 55]),
        ({258: ("H", [16])}, "H", [0x1234, 0xFFFF], [0x12, 255]),
        ({258: ("H", [16]), 339: ("H", [2])}, "h", [-5, 0x1234], [0, 0x12]),
        ({258: ("H", [32]), 339: ("H", [2])}, "i", [-5, 200], [0, 200]),
        ({258: ("H", [32]), 339: ("H", [3])}, "f", [0.0, 1.0], [0, 255]),
        ({258: ("H", [32]), 339: ("H", [3]), 262: ("H", [0])}, "f", [0.0, 1.0], [255, 0]),
        ({258: ("H", [32]), 339: ("H", [3])}, "f", [float("nan"), float("inf")], [0, 255]),
    ],
    ids=["8", "8 inverted", "16", "16 signed", "32 signed", "float", "float inverted", "no number"],
)
def test_grey_tiff_of_every_depth(order, tags, letter, samples, expected):
    data = tiff(SIZE | tags, struct.pack(f"{order}2{letter}", *samples), order)
    assert [pixel[0] for pixel in first_row(data)] == expected


@pytest.mark.parametrize(
    ("tags", "raw", "expected"),
    [
        ({258: ("H", [16]), 262: ("H", [0])}, struct.pack("<HH", 0, 0x1200), [255, 255 - 0x12]),
        ({258: ("H", [12])}, b"\xff\xf8\x00", [255, 128]),
        ({258: ("H", [32])}, struct.pack("<II", 0xFF000000, 0x10000000), [255, 16]),
    ],
    ids=["16 inverted", "12", "32 unsigned"],
)
def test_grey_tiff_of_the_depths_that_only_intel_order_has(tags, raw, expected):
    assert [pixel[0] for pixel in first_row(tiff(SIZE | tags, raw))] == expected


RGB_TAGS = {256: ("H", [1]), 257: ("H", [1]), 262: ("H", [2]), 277: ("H", [3])}


@pytest.mark.parametrize(
    ("tags", "raw", "expected"),
    [
        ({258: ("H", [8, 8, 8])}, bytes(RED), RED),
        ({258: ("H", [16] * 3)}, struct.pack("<HHH", 0x12FF, 0x34FF, 0x56FF), (0x12, 0x34, 0x56)),
        ({258: ("H", [8] * 4), 277: ("H", [4]), 338: ("H", [2])}, bytes((*RED, 0)), WHITE),
        ({258: ("H", [8] * 4), 277: ("H", [4]), 338: ("H", [1])}, bytes((51, 0, 0, 51)), (255, 204, 204)),
        ({258: ("H", [8] * 4), 277: ("H", [4]), 338: ("H", [0])}, bytes((*RED, 0)), RED),
        ({258: ("H", [8] * 4), 277: ("H", [4]), 262: ("H", [5])}, bytes((255, 0, 0, 0)), (0, 255, 255)),
        ({258: ("H", [8] * 3), 262: ("H", [6]), 530: ("H", [1, 1])}, bytes((76, 85, 255)), (254, 0, 0)),
    ],
    ids=["8", "16", "alpha", "premultiplied", "unspecified", "CMYK", "YCbCr"],
)
def test_colour_tiff(tags, raw, expected):
    assert first_row(tiff(RGB_TAGS | tags, raw)) == [expected]


def test_lab_tiff():
    assert distance(pixels(encode(smooth().convert("LAB"), "TIFF")), smooth()) < 3


def test_ycbcr_tiff_in_jpeg():
    assert distance(pixels(one_of_each()["TIFF JPEG"]), smooth()) < 5


def test_one_bit_tiff():
    page = Image.new("1", (30, 20), 1)
    page.paste(0, (5, 5, 20, 10))
    assert np.array_equal(pixels(encode(page, "TIFF", compression="group4")), page.convert("RGB"))


def test_big_tiff():
    assert np.array_equal(pixels(one_of_each()["TIFF big"]), smooth())


def test_tiled_tiff():
    left, right = bytes(RED) * 256, bytes(BLUE) * 256
    tiles = {322: ("H", [16]), 323: ("H", [16]), 324: ("I", [0, 0]), 325: ("I", [768, 768])}
    size = {256: ("H", [20]), 257: ("H", [10]), 258: ("H", [8, 8, 8])}
    empty = tiff(RGB_TAGS | size | tiles, b"")
    tiles[324] = ("I", [len(empty), len(empty) + 768])
    assert first_row(tiff(RGB_TAGS | size | tiles, left + right)) == [RED] * 16 + [BLUE] * 4


def test_tiff_with_unreadable_metadata():
    data = tiff(SIZE | {258: ("H", [8]), 65000: ("B", [0] * 8)}, b"\0\xc8")
    at = data.index(struct.pack("<HHI", 65000, 1, 8)) + 8
    beyond = data[:at] + struct.pack("<I", 10**6) + data[at + 4 :]
    assert [pixel[0] for pixel in first_row(beyond)] == [0, 200]


# Which way is up

UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def oriented(kind, image, value):
    if kind == "TIFF":
        return encode(image, kind, tiffinfo={274: value})
    return encode(image, kind, exif=exif_with(value), **({"lossless": True} if kind == "WEBP" else {}))


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_a_picture_is_turned_upright(kind, orientation):
    data = oriented(kind, colour_chart(6, 4), orientation)
    header = read(data).header
    assert header.exif_orientation == orientation
    assert header.size == (ImageSize(6, 4) if orientation < 5 else ImageSize(4, 6))
    assert np.array_equal(pixels(data), UPRIGHT[orientation](np.asarray(colour_chart(6, 4))))


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_compressed_tiff_is_turned_upright(orientation):
    data = encode(colour_chart(6, 4), "TIFF", compression="tiff_lzw", tiffinfo={274: orientation})
    assert np.array_equal(pixels(data), UPRIGHT[orientation](np.asarray(colour_chart(6, 4))))


@pytest.mark.parametrize("at_least", [None, ImageSize(20, 20)])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_jpeg_is_turned_upright_at_every_scale(orientation, at_least):
    stored = smooth(192, 128)
    picture = read(oriented("JPEG", stored, orientation))
    expected = Image.fromarray(np.ascontiguousarray(UPRIGHT[orientation](np.asarray(stored))))
    assert picture.header.size == ImageSize(*expected.size)
    decoded = picture.decode() if at_least is None else picture.decode_scaled(at_least).image
    assert decoded.size == (expected.size if at_least is None else (expected.width // 4, expected.height // 4))
    assert distance(decoded, expected.resize(decoded.size, Image.Resampling.BOX)) < 5


def test_a_png_may_say_it_behind_the_pixels():
    exif = png_chunk(b"eXIf", exif_with(6).removeprefix(b"Exif\0\0"))
    data = png(2, 1, 8, 2, [bytes((*RED, *BLUE))], after=[exif])
    assert read(data).header.size == ImageSize(1, 2)
    assert pixels(data)[:, 0].tolist() == [list(RED), list(BLUE)]


def test_of_two_exif_blocks_the_first_holds():
    blocks = [jpeg_segment(0xE1, exif_with(orientation)) for orientation in (6, 3)]
    assert read(with_segments(encode(smooth(), "JPEG"), *blocks)).header.exif_orientation == 6


def ifd_entry(kind, count, value, order=">"):
    return b"Exif\0\0" + struct.pack(f"{order}2sHIHHHI4sI", b"MM", 42, 8, 1, 0x0112, kind, count, value, 0)


@pytest.mark.parametrize(
    "exif",
    [
        ifd_entry(3, 1, b"\0\0\0\0"),
        ifd_entry(3, 1, b"\0\x09\0\0"),
        ifd_entry(3, 1, b"\xff\xff\0\0"),
        ifd_entry(2, 1, b"x\0\0\0"),
        ifd_entry(2, 9, b"\xff\xff\xff\xff"),
        ifd_entry(5, 1, b"\xff\xff\xff\xff"),
        ifd_entry(77, 1, b"\0\6\0\0"),
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0MM\0+\0\x08\0\0" + b"\xff" * 16,
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(12),
        b"Exif\0\0nonsense",
    ],
    ids=lambda exif: exif.hex()[12:60] or "empty",
)
def test_an_orientation_that_makes_no_sense_is_none(exif):
    whole = encode(smooth(), "JPEG")
    picture = read(with_segments(whole, jpeg_segment(0xE1, exif)))
    assert picture.header.exif_orientation == 1
    assert np.array_equal(picture.decode(), read(whole).decode())
    body = png_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    assert read(png(1, 1, 8, 2, [bytes(RED)], [body])).header.exif_orientation == 1


@pytest.mark.parametrize("value", [("H", [0]), ("H", [9]), ("s", [b"x"]), ("I", [2**32 - 1])])
def test_a_tiff_orientation_that_makes_no_sense_is_none(value):
    data = tiff(SIZE | {258: ("H", [8]), 274: value}, b"\0\xc8")
    assert read(data).header.exif_orientation == 1
    assert [pixel[0] for pixel in first_row(data)] == [0, 200]


@pytest.mark.parametrize("kind", ["TIFF", "JPEG", "PNG", "WEBP"])
def test_xmp_has_no_say(kind):
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    chart = colour_chart(6, 4)
    data = {
        "TIFF": lambda: encode(chart, "TIFF", tiffinfo={700: xmp}),
        "JPEG": lambda: with_segments(
            encode(chart, "JPEG"), jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)
        ),
        "PNG": lambda: png(6, 4, 8, 2, [bytes(18)] * 4, [png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)]),
        "WEBP": lambda: encode(chart, "WEBP", xmp=xmp),
    }[kind]()
    assert b"tiff:Orientation" in data
    assert read(data).header.exif_orientation == 1
    assert pixels(data).shape == (4, 6, 3)


# The smallest sufficient scale

side = st.integers(1, 400)


@settings(max_examples=60, deadline=None)
@given(st.builds(ImageSize, side, side), st.sampled_from([1, 3, 6, 8]), st.floats(0.01, 1), st.floats(0.01, 1))
def test_the_scale_is_sufficient_and_no_larger_than_it_must_be(stored, orientation, across, down):
    picture = read(oriented("JPEG", Image.new("RGB", (stored.width, stored.height)), orientation))
    full = picture.header.size
    wanted = ImageSize(max(1, int(full.width * across)), max(1, int(full.height * down)))
    width, height = picture.decode_scaled(at_least=wanted).image.size
    assert width >= wanted.width
    assert height >= wanted.height
    scale = min(full.width // wanted.width, full.height // wanted.height)
    largest = max(s for s in (1, 2, 4, 8) if s <= scale)
    assert (width, height) == (-(-full.width // largest), -(-full.height // largest))


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_12_megapixel_photograph_is_decoded_at_an_eighth(orientation):
    picture = read(oriented("JPEG", Image.new("RGB", (4000, 3000), (30, 90, 200)), orientation))
    upright = (4000, 3000) if orientation == 1 else (3000, 4000)
    assert picture.header.size == ImageSize(*upright)
    decoded = picture.decode_scaled(ImageSize(320, 240) if orientation == 1 else ImageSize(240, 320)).image
    assert decoded.size == (upright[0] // 8, upright[1] // 8)
    assert decoded.getpixel((100, 100)) == pytest.approx((30, 90, 200), abs=2)


@pytest.mark.parametrize("stored", [(1025, 769), (1031, 775), (1024, 768), (1025, 130)])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_jpeg_at_a_smaller_scale_is_where_it_is_at_full_size(orientation, stored):
    placement = longest_side_rule(128).place(read(oriented("JPEG", Image.new("RGB", stored), orientation)).header.size)
    for corner in ((0, 0), (stored[0] - 300, 0), (0, stored[1] - 100), (stored[0] - 300, stored[1] - 100)):
        scene = Image.new("RGB", stored)
        scene.paste("white", (corner[0] + 40, corner[1] + 20, corner[0] + 240, corner[1] + 70))
        picture = read(oriented("JPEG", scene, orientation))
        scaled = picture.decode_scaled(placement.content)
        assert scaled.image.width < picture.header.size.width
        expected = centre(draw_on_canvas(picture.decode(), placement))
        for lay in (draw_on_canvas, left_to_draw):
            laid = lay(scaled.image, placement, scaled.part)
            laid = draw_on_canvas(Image.fromarray(laid), placement) if lay is left_to_draw else laid
            # Without its part it is 0.1 to 0.25 pixels off, at the odd sizes; what is left is the coarser scale's.
            np.testing.assert_allclose(centre(laid), expected, atol=0.05)


def centre(pixels):
    """Of what is bright, in pixels from the left and the top."""
    light = pixels[..., 1].astype(float)
    places = np.indices(light.shape)[::-1] + 0.5
    return (places * light).sum(axis=(1, 2)) / light.sum()


@pytest.mark.parametrize("name", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_other_formats_are_decoded_whole(name):
    picture = read(one_of_each()[name])
    assert ImageSize(*picture.decode_scaled(at_least=ImageSize(2, 2)).image.size) == picture.header.size


def test_more_than_there_is_gives_all_there_is():
    picture = read(one_of_each()["JPEG progressive"])
    assert picture.decode_scaled(at_least=ImageSize(10_000, 10)).image.size == (48, 36)
