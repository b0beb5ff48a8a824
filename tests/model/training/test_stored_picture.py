from pathlib import Path

import pytest
from PIL import Image

from model.errors import DataError
from model.imaging.decoding import Header
from model.structures import ImageSize
from model.training.stored_picture import is_there, read_picture, size_mismatch

STRAIGHT = Header("JPEG", ImageSize(30, 40), 1)
TURNED = Header("JPEG", ImageSize(30, 40), 6)


def test_the_upright_picture_and_its_header(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)
    header, picture = read_picture(tmp_path / "a.jpg")
    assert header == TURNED
    assert picture.size == (30, 40)


def test_what_is_no_picture_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.jpg: No such file"):
        read_picture(tmp_path / "none.jpg")
    (tmp_path / "a.jpg").write_text("<html>")
    with pytest.raises(DataError, match=r"a\.jpg: the data are none of JPEG"):
        read_picture(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"a\\x00\.jpg.: "):
        read_picture(tmp_path / "a\0.jpg")


def test_a_name_that_no_file_can_have_is_not_there(tmp_path: Path):
    (tmp_path / "a.jpg").touch()
    names = ("a.jpg", "b.jpg", ".", "a" * 300, "a\0.jpg", "\ud800.jpg")
    assert [is_there(tmp_path / name) for name in names] == [True, False, False, False, False, False]


def test_sizes_that_differ():
    assert size_mismatch(STRAIGHT, ImageSize(30, 40)) is None
    assert size_mismatch(STRAIGHT, ImageSize(40, 30)) == "is 30x40, annotated as 40x30"
    assert size_mismatch(TURNED, ImageSize(30, 40)) is None
    assert size_mismatch(TURNED, ImageSize(31, 40)) == "is 30x40, annotated as 31x40"
    told = size_mismatch(TURNED, ImageSize(40, 30))
    assert told == "is 30x40 when shown (EXIF orientation 6 turns it), annotated as stored: 40x30"
