"""Whatever the bytes, a picture or a `PictureError` in words: no other exception, no warning, no hang, no bomb."""

import io
import pickle
import random
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.errors import PictureError, TooManyPixels, UndecodablePicture, UnsupportedFormat
from model.imaging.containers.formats import read_container
from model.imaging.decoding import Picture, sniff
from model.structures import ImageSize
from tests.encoded_pictures import (
    RED,
    bmp,
    encode,
    jpeg_segment,
    one_of_each,
    png,
    png_chunk,
    smooth,
    tiff,
    with_segments,
)

# The rule that model.imaging.decoding sets for its process, which pytest's own rules take the place of in each test.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

SIGNATURE_LENGTHS = {"JPEG": 3, "PNG": 8, "WEBP": 12, "GIF": 6, "BMP": 2, "TIFF": 4}


def outcome(data, max_pixels=1_000_000):
    """The picture's size, or the error; anything but a `PictureError` is raised."""
    try:
        picture = Picture(data, max_pixels=max_pixels)
        decoded = picture.decode()
    except PictureError as error:
        check_words(error)
        return error
    assert decoded.mode == "RGB"
    assert ImageSize(*decoded.size) == picture.header.size
    return picture.header.size


def check_words(error):
    words = str(error)
    assert "\n" not in words
    assert " object at 0x" not in words
    assert len(words) < 300
    assert re.search(r"[a-z]{3}", words)
    assert not words.endswith(".")


# Cut short, and damaged


@pytest.mark.parametrize("name", one_of_each())
def test_a_file_cut_short_anywhere(name, capfd):
    data = one_of_each()[name]
    complete = SIGNATURE_LENGTHS[name.split()[0]]
    lengths = {*range(1, 14), *np.linspace(14, len(data) - 1, 30).astype(int).tolist(), len(data) - 1, len(data) - 2}
    for length in sorted(lengths & set(range(len(data)))):
        result = outcome(data[:length])
        if length >= complete:
            assert not isinstance(result, UnsupportedFormat)
            assert not isinstance(result, TooManyPixels)
        if length < len(data) * 0.6 and "pages" not in name and "animated" not in name and "two" not in name:
            assert isinstance(result, PictureError), f"{length} of {len(data)} bytes gave a picture"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", one_of_each())
def test_a_damaged_file(name, capfd):
    data, dice = one_of_each()[name], random.Random(name)
    for _ in range(120):
        damaged = bytearray(data)
        early = dice.random() < 0.5  # half of the damage where the headers are
        for _ in range(dice.choice([1, 1, 1, 2, 8])):
            damaged[dice.randrange(min(len(data), 200) if early else len(data))] = dice.choice(
                [0, 1, 127, 255, dice.randrange(256)]
            )
        outcome(bytes(damaged))
    assert capfd.readouterr() == ("", "")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(one_of_each())), st.binary(max_size=60), st.integers(0, 300), st.integers(0, 40))
def test_a_file_with_a_piece_replaced(name, piece, at, removed):
    data = one_of_each()[name]
    outcome(data[:at] + piece + data[at + removed :])


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([d[: SIGNATURE_LENGTHS[n.split()[0]]] for n, d in one_of_each().items()]), st.binary(max_size=200)
)
def test_a_signature_and_noise(signature, noise):
    result = outcome(signature + noise)
    assert not isinstance(result, UnsupportedFormat)


# None of ours


def test_nothing_is_no_picture():
    with pytest.raises(UndecodablePicture, match=r"^the picture is empty \(0 bytes\)$"):
        Picture(b"", max_pixels=1)


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"\0" * 100,
        b"{}",
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<!doctype html><img>",
        b"\0\0\0\x1cftypheic" + bytes(100),
        b"\0\0\0\x1cftypavif" + bytes(100),
        b"\0\0\1\0\1\0" + bytes(100),
        b"8BPS\0\1" + bytes(100),
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"P6\n1 1\n255\nabc",
        b"\x89PNG\n",
        b"\xff\xd8",
    ],
)
def test_other_formats_are_refused_by_name(data):
    with pytest.raises(UnsupportedFormat, match=r"^the data are none of JPEG, PNG, WEBP, GIF, BMP, TIFF$"):
        Picture(data, max_pixels=1)


@pytest.mark.parametrize("kind", ["ICO", "PPM", "TGA", "JPEG2000"])
def test_what_pillow_could_read_but_we_do_not_is_refused(kind):
    with pytest.raises(UnsupportedFormat):
        Picture(encode(smooth(), kind), max_pixels=10**6)


@pytest.mark.parametrize("name", one_of_each())
def test_a_signature_is_enough_to_know_the_format(name):
    kind = name.split()[0]
    assert sniff(one_of_each()[name][: SIGNATURE_LENGTHS[kind]]) == kind


# Words


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x89PNG\r\n\x1a\n", "the PNG header cannot be read (the data end too early)"),
        (b"\xff\xd8\xff\xd9", "the JPEG header cannot be read (it has no frame header)"),
        (b"GIF89a", "the GIF header cannot be read (the data end too early)"),
        (bmp(0, 5, 24, b""), "the BMP header cannot be read (a picture of 0x5 pixels has no area)"),
        (bmp(1, 1, 7, b"\0"), "the BMP data cannot be decoded (Unsupported BMP pixel depth (7))"),
        (tiff({}, b""), "the TIFF header cannot be read (it does not say how large it is)"),
        (
            tiff({256: ("H", [1]), 257: ("H", [1]), 259: ("H", [999])}, b"\0"),
            "the TIFF data cannot be decoded (999 is none of the values that are known there)",
        ),
        (
            tiff({256: ("H", [1]), 257: ("H", [1]), 258: ("H", [32] * 3), 262: ("H", [2]), 277: ("H", [3])}, bytes(12)),
            "the TIFF data cannot be decoded (bits, numbers and colours are combined as in none that is read)",
        ),
        (
            tiff({256: ("H", [1]), 257: ("H", [1]), 259: ("B", [1, 1])}, b"\0"),
            "the TIFF data cannot be decoded (its fields do not fit together)",
        ),
        (png(1, 1, 8, 3, [b"\0"]), "the PNG data cannot be decoded (its fields do not fit together)"),
        (encode(smooth(), "PNG")[:-30], "the PNG data cannot be decoded (the data end too early)"),
        (
            with_segments(encode(smooth(), "JPEG"), b"\xff\xe1\0\1"),
            "the JPEG header cannot be read (segment 0xE1 has no length)",
        ),
        (b"RIFF\0\0\0\0WEBPVP8X" + bytes(14), "the WEBP data cannot be decoded (could not create decoder object)"),
    ],
    ids=[
        "PNG",
        "JPEG",
        "GIF",
        "BMP size",
        "BMP depth",
        "TIFF size",
        "TIFF value",
        "TIFF samples",
        "TIFF field",
        "PNG palette",
        "cut PNG",
        "JPEG segment",
        "WEBP",
    ],
)
def test_the_words_name_the_culprit(data, words):
    result = outcome(data)
    assert isinstance(result, UndecodablePicture)
    assert str(result) == words


def test_too_many_pixels_says_how_many():
    with pytest.raises(TooManyPixels, match=r"^the picture declares 48x36 = 1,728 pixels, more than 1,727$"):
        Picture(encode(smooth(48, 36), "PNG"), max_pixels=1727)
    Picture(encode(smooth(48, 36), "PNG"), max_pixels=1728)


# Bombs: each would take gigabytes or minutes


def webp(kind, body):
    chunk = struct.pack("<4sI", kind, len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def gif_of(screen, frame, control=b""):
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes(6)
    return head + control + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\2\2\x4c\1\0;"


def jpeg_of(width, height):
    jpeg = encode(smooth(), "JPEG")
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def bombs():
    declared = {256: ("I", [60_000]), 257: ("I", [60_000]), 258: ("H", [8])}
    return {
        "JPEG": jpeg_of(60_000, 60_000),
        "PNG": png(60_000, 60_000, 8, 2, [b"\0"]),
        "PNG of a row": png(2**31 - 1, 1, 8, 2, [b"\0"]),
        "GIF": gif_of((60_000, 60_000), (1, 1)),
        "GIF frame": gif_of((1, 1), (60_000, 60_000)),
        "GIF frame to be cleared": gif_of((1, 1), (60_000, 60_000), b"!\xf9\4\x08\0\0\0\0"),
        "BMP": bmp(60_000, 60_000, 24, b"\0"),
        "BMP from the top": bmp(60_000, -60_000, 24, b"\0"),
        "BMP RLE": bmp(60_000, 60_000, 8, b"\0\1", bytes(1024), compression=1),
        "TIFF": tiff(declared, b"\0"),
        "TIFF LZW": tiff(declared | {259: ("H", [5])}, b"\0"),
        "TIFF big": tiff(declared, b"\0", big=True),
        "TIFF Motorola": tiff(declared, b"\0", order=">"),
        "WEBP extended": webp(b"VP8X", b"\x02\0\0\0" + (59_999).to_bytes(3, "little") * 2),
        "WEBP lossless": webp(b"VP8L", b"\x2f" + struct.pack("<I", 0x3FFF | 0x3FFF << 14) + bytes(20)),
        "WEBP lossy": webp(b"VP8 ", b"\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(20)),
    }


IN_LITTLE_MEMORY = """
import pickle, resource, sys
from pathlib import Path
from model.errors import PictureError
from model.imaging.containers.formats import read_container
from model.imaging.decoding import Picture
pages = int(Path("/proc/self/statm").read_text().split()[0]) + (200 << 20) // resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
for name, data in pickle.loads(Path(sys.argv[1]).read_bytes()).items():
    try:
        Picture(data, max_pixels=50_000_000).decode()
        print(name, "decoded", sep=": ")
    except PictureError as error:
        print(name, type(error).__name__, error, sep=": ")
"""


def in_little_memory(files, folder):
    """What each file comes to in a process that may take 200 MB more than it starts with, and a minute."""
    path = folder / "files.pickle"
    path.write_bytes(pickle.dumps(files))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IN_LITTLE_MEMORY, str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())


@pytest.mark.skipif(sys.platform != "linux", reason="measures itself in /proc")
def test_declared_pixels_are_refused_before_any_is_allocated(tmp_path):
    results = in_little_memory(bombs(), tmp_path)
    assert set(results) == set(bombs())
    for name, result in results.items():
        assert result.startswith("TooManyPixels: the picture declares "), name


def many_scans(count):
    jpeg = encode(smooth(), "JPEG", progressive=True)
    scan = jpeg.index(b"\xff\xda")
    return jpeg[:scan] + jpeg[scan : jpeg.index(b"\xff", scan + 2)] * count + b"\xff\xd9"


RUG = {256: ("I", [1000]), 257: ("I", [48_000]), 258: ("H", [8])}


def directory(entries):
    entry = struct.pack("<HHQQ", 65000, 1, 1, 0)
    return struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, entries) + entry * entries + bytes(8)


def zipped_text(megabytes):
    return png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(megabytes << 20), 9))


@pytest.mark.skipif(sys.platform != "linux", reason="measures itself in /proc")
def test_small_files_take_little_memory_and_time(tmp_path):
    jpeg, size = encode(smooth(), "JPEG"), {256: ("H", [64]), 257: ("H", [64]), 258: ("H", [8])}
    tile = {322: ("I", [60_000]), 323: ("I", [60_000]), 324: ("I", [8]), 325: ("I", [8])}
    profile = png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 20), 9))
    row, column = {256: ("I", [16_000]), 257: ("I", [1])}, {322: ("I", [16]), 323: ("I", [1 << 20]), 259: ("H", [8])}
    same = {324: ("I", [8] * 1000), 325: ("I", [16_000] * 1000)}
    values = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x112, 3, 9_000_000, 26) + bytes(4 + 18_000_000)
    files = {
        "EXIF values": png(1, 1, 8, 2, [bytes(RED)], [png_chunk(b"eXIf", values)]),
        "EXIF in bits": with_segments(jpeg, jpeg_segment(0xE1, b"Exif\0\0" + bytes(10)) * 90_000),
        "segments": with_segments(jpeg, jpeg_segment(0xE3) * 150_000),
        "scans": many_scans(10_000),
        "text": png(1, 1, 8, 2, [bytes(RED)], [zipped_text(30)] * 3),
        "texts": png(1, 1, 8, 2, [bytes(RED)], [zipped_text(1)] * 200),
        "profiles": png(1, 1, 8, 2, [bytes(RED)], [profile] * 1500),
        "chunks": png(1, 1, 8, 2, [bytes(RED)], [png_chunk(b"IDAT")] * 150_000),
        "strip list": tiff(size | {273: ("I", list(range(8, 200_008)))}, bytes(5000)),
        "strip list in bytes": tiff(size | {273: ("B", [8] * 200_000)}, bytes(5000)),
        "strips that overlap": tiff(RUG | {273: ("I", list(range(1000, 49_000))), 278: ("H", [1])}, bytes(70_000)),
        "tile": tiff(size | tile | {259: ("H", [8])}, zlib.compress(bytes(30 << 20))),
        "tiles": tiff(size | row | column | same, zlib.compress(bytes(16 << 20))),
        "rows per strip": tiff(size | {259: ("H", [8]), 278: ("I", [2**32 - 1])}, zlib.compress(bytes(4096))),
        "directory": directory(300_000),
        "run-length row": bmp(49_000_000, 1, 8, b"\1\5\0\0\0\1", bytes(1024), compression=1),
        "extensions": gif_of((1, 1), (1, 1), b"!\xfe\0" * 150_000),
        "blocks": gif_of((1, 1), (1, 1), b"!\xfe" + b"\1a" * 150_000 + b"\0"),
    }
    results = in_little_memory(files, tmp_path)
    undecodable = {name: words.split(": ", 1)[1] for name, words in results.items() if words != "decoded"}
    assert {name: re.sub(r".*\((.*)\)", r"\1", words) for name, words in undecodable.items()} == {
        "segments": "it has more than 100,000 segments",
        "scans": "it has 10,000 scans, more than 50",
        "chunks": "it has more than 100,000 chunks",
        "strip list": "it has 200,000 strips or tiles, more than 50,000",
        "strip list in bytes": "it has 200,000 strips or tiles, more than 50,000",
        "strips that overlap": "its strips or tiles overlap, 1 bytes from one to the next",
        "run-length row": "run-length coding is taken up to 4,000,000 pixels",
        "tile": "its tiles have 3,600,000,000 pixels",
        "tiles": "its tiles have 16,777,216,000 pixels together, of which it takes 16,000",
        "directory": "its directory has 300,000 entries, more than 4,096",
        "extensions": "it has more than 100,000 extensions",
        "blocks": "its extensions have more than 100,000 blocks",
    }


def test_what_lies_behind_the_longest_run_length_coding_is_left_out():
    data = bmp(2, 2, 8, b"\2\5" * 2_000_000, bytes(1024), compression=1)
    assert len(read_container("BMP", data).essentials) < 10_000


def test_a_file_that_declares_two_sizes_is_refused():
    jpeg = encode(smooth(), "JPEG")
    at = jpeg.index(b"\xff\xc0")
    frame = jpeg[at : at + 4 + 15]
    assert "two frame headers" in str(outcome(jpeg[:at] + frame + jpeg[at:]))
    small, large = (png_chunk(b"IHDR", struct.pack(">IIBBBBB", n, n, 8, 2, 0, 0, 0)) for n in (1, 60_000))
    assert "IHDR" in str(outcome(png(1, 1, 8, 2, [bytes(RED)], [large])))
    assert "IHDR" in str(outcome(b"\x89PNG\r\n\x1a\n" + png_chunk(b"tEXt") + small))
    tall = bmp(1, -20_000_000, 1, b"")  # Pillow takes it for upside down only as far as 16 million rows
    assert "reads as 1x20000000, then as 1x4274967296" in str(outcome(tall, max_pixels=50_000_000))
    twice = tiff({256: ("H", [1]), 257: ("H", [1]), 258: ("H", [8])}, b"\0").replace(b"\2\1\3\0", b"\1\1\3\0")
    assert "tag 257 is given twice" in str(outcome(twice))


# Warnings and logs


def test_pillow_does_not_log(caplog):
    caplog.set_level("DEBUG")
    size = {256: ("H", [1]), 257: ("H", [1])}
    for samples in (1, 2048):
        outcome(tiff(size | {258: ("H", [8]), 277: ("H", [samples])}, b"\0"))
    assert caplog.records == []


WARNS = """
import sys, threading
from pathlib import Path
from model.imaging.containers.formats import read_container
from model.imaging.decoding import Picture
data = Path(sys.argv[1]).read_bytes()
sizes = []
threads = [threading.Thread(target=lambda: sizes.append(Picture(data, max_pixels=99).decode().size)) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.exit(sizes != [(2, 1)] * 8)
"""


@pytest.mark.parametrize("rule", ["error", "always", "default"])
def test_pillows_warnings_neither_fail_a_picture_nor_reach_the_terminal(tmp_path, rule):
    size = {256: ("H", [2]), 257: ("H", [1]), 258: ("H", [8])}
    data = tiff(size | {65000: ("B", [0] * 8)}, b"\0\xc8")
    at = data.index(struct.pack("<HHI", 65000, 1, 8)) + 8
    beyond_the_end = data[:at] + struct.pack("<I", 10**6) + data[at + 4 :]
    with pytest.warns(UserWarning, match="Truncated"):
        Image.open(io.BytesIO(beyond_the_end))
    (tmp_path / "odd.tif").write_bytes(beyond_the_end)
    done = subprocess.run(
        [sys.executable, "-W", rule, "-c", WARNS, str(tmp_path / "odd.tif")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
