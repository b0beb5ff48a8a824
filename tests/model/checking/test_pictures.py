from pathlib import Path

import pytest
from PIL import Image

from model.checking.pictures import PictureFacts, inspect_picture, inspect_pictures, picture_fault
from model.imaging.decoding import Header
from model.structures import ImageSize
from model.training.faults import FaultKind
from model.training.records import PictureRecord


def turned(path: Path, orientation: int) -> Path:
    """A picture stored as 40x30."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (40, 30), (200, 30, 30)).save(path, exif=exif)
    return path


def kind_of(path: Path, width: int, height: int) -> FaultKind | None:
    record = PictureRecord(path.parent / "train.json", "image 7", path, ImageSize(width, height), ())
    fault = picture_fault(record, inspect_picture(path))
    if fault is None:
        return None
    assert (fault.file, fault.record) == (record.file, "image 7")
    assert str(path) in fault.detail
    return fault.kind


def test_the_fault_of_a_file(tmp_path: Path):
    straight = turned(tmp_path / "a.jpg", 1)
    assert kind_of(straight, 40, 30) is None
    assert kind_of(straight, 30, 40) is FaultKind.WRONG_SIZE
    assert kind_of(tmp_path / "none.jpg", 40, 30) is FaultKind.MISSING_PICTURE
    assert kind_of(tmp_path, 40, 30) is FaultKind.MISSING_PICTURE
    assert kind_of(tmp_path / f"{'a' * 300}.jpg", 40, 30) is FaultKind.MISSING_PICTURE
    (tmp_path / "half.jpg").write_bytes(straight.read_bytes()[:-200])
    assert kind_of(tmp_path / "half.jpg", 40, 30) is FaultKind.UNDECODABLE_PICTURE
    (tmp_path / "text.jpg").write_text("<html>")
    assert kind_of(tmp_path / "text.jpg", 40, 30) is FaultKind.UNDECODABLE_PICTURE


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_picture_that_exif_turns_by_a_quarter(tmp_path: Path, orientation: int):
    path = turned(tmp_path / "a.jpg", orientation)
    assert kind_of(path, 40, 30) is FaultKind.TURNED_SIZE
    assert kind_of(path, 30, 40) is FaultKind.TURNED_PICTURE
    assert kind_of(path, 30, 41) is FaultKind.WRONG_SIZE


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_a_picture_that_exif_flips(tmp_path: Path, orientation: int):
    assert kind_of(turned(tmp_path / "a.jpg", orientation), 40, 30) is FaultKind.TURNED_PICTURE


def test_equal_pixels_have_one_digest_whatever_their_encoding(tmp_path: Path):
    picture = Image.effect_noise((40, 30), 50).convert("RGB")
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.bmp")
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "c.png")
    picture.resize((30, 40)).save(tmp_path / "d.png")
    paths = [tmp_path / name for name in ("a.png", "b.bmp", "c.png", "d.png")]
    facts = inspect_pictures([*paths, paths[0]], workers=2, progress=False)
    assert list(facts) == paths
    digests = [facts[path].digest for path in paths]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert facts[paths[0]].header == Header("PNG", ImageSize(40, 30), 1)


def test_an_interrupt_does_not_wait_for_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen = []

    def interrupt(path: Path) -> PictureFacts:
        seen.append(path)
        raise KeyboardInterrupt

    monkeypatch.setattr("model.checking.pictures.inspect_picture", interrupt)
    with pytest.raises(KeyboardInterrupt):
        inspect_pictures([tmp_path / str(i) for i in range(2000)], workers=1, progress=False)
    assert len(seen) < 2000
