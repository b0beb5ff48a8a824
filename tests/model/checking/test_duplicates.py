from pathlib import Path

from model.checking.duplicates import name_faults, pixel_faults
from model.structures import ImageSize
from model.training.faults import FaultKind
from model.training.records import PictureRecord


def record(split: str, number: int, name: str) -> PictureRecord:
    return PictureRecord(Path(f"{split}.json"), f"image {number}", Path(name), ImageSize(4, 3), ())


def test_a_name_twice_is_told_of_the_later_record():
    (fault,) = name_faults([record("train", 1, "a"), record("train", 2, "b"), record("train", 3, "a")])
    assert (fault.kind, fault.record) == (FaultKind.DUPLICATE_FILE_NAME, "image 3")
    assert fault.detail == "names a, as does image 1"


def test_pixels_twice_in_a_split_and_across_splits():
    splits = {
        "train": [record("train", 1, "a"), record("train", 2, "b"), record("train", 3, "c")],
        "val": [record("val", 1, "a"), record("val", 2, "d"), record("val", 3, "e")],
        "test": [record("test", 1, "f"), record("test", 2, "lost")],
    }
    pixels = {"a": b"1", "b": b"2", "c": b"1", "d": b"3", "e": b"2", "f": b"3"}
    faults = list(pixel_faults(splits, {Path(name): digest for name, digest in pixels.items()}))
    assert [(f.kind, str(f.file), f.record, f.detail) for f in faults] == [
        (FaultKind.DUPLICATE_PICTURE, "train.json", "image 3", "c has the pixels of a (image 1)"),
        (FaultKind.LEAK, "val.json", "image 1", "a has the pixels of a in train (image 1)"),
        (FaultKind.LEAK, "val.json", "image 3", "e has the pixels of b in train (image 2)"),
        (FaultKind.LEAK, "test.json", "image 1", "f has the pixels of d in val (image 2)"),
    ]


def test_a_file_named_twice_is_no_second_picture():
    same = [record("train", 1, "a"), record("train", 2, "a")]
    assert list(pixel_faults({"train": same}, {Path("a"): b"1"})) == []
