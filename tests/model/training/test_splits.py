from pathlib import Path

import pytest

from model.errors import DataError
from model.training.annotations import read_annotations
from model.training.splits import picture_folder, split_file, split_files
from tests.scenes import write_coco, write_voc


def test_a_folder_s_splits_by_name_in_either_layout(tmp_path: Path):
    coco = [write_coco(tmp_path / "coco", name, range(1)) for name in ("train", "test")]
    voc = [write_voc(tmp_path / "voc", name, range(1)) for name in ("train", "val", "trainval")]
    assert split_files(tmp_path / "coco") == {"train": coco[0], "test": coco[1]}
    assert split_files(tmp_path / "voc") == {"train": voc[0], "val": voc[1]}
    assert split_file(tmp_path / "voc", "val") == voc[1]
    assert split_files(voc[2]) == {"trainval": voc[2]}, "a file is one split, whatever its name"


def test_a_folder_of_both_layouts_is_coco(tmp_path: Path):
    write_voc(tmp_path, "val", range(1))
    path = write_coco(tmp_path, "train", range(1))
    assert split_files(tmp_path) == {"train": path}
    assert split_file(tmp_path, "val") == tmp_path / "val.json"


def test_where_the_pictures_lie(tmp_path: Path):
    assert picture_folder(tmp_path / "train.json") == tmp_path / "images"
    assert picture_folder(tmp_path / "ImageSets" / "Main" / "train.txt") == tmp_path / "JPEGImages"
    assert picture_folder(tmp_path / "train.json", tmp_path) == tmp_path


def test_a_list_is_found_from_within_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(write_voc(tmp_path, "val", range(2)).parent)
    assert [p.path for p in read_annotations(Path("val.txt"))] == [
        tmp_path / "JPEGImages" / f"scene_{seed}.jpg" for seed in range(2)
    ]


def test_a_folder_s_split_is_read_by_name(tmp_path: Path):
    write_voc(tmp_path, "train", range(3))
    write_voc(tmp_path, "val", range(3, 5))
    assert [len(read_annotations(tmp_path, split=name)) for name in ("train", "val")] == [3, 2]
    assert len(read_annotations(tmp_path)) == 2


def test_what_is_no_data_set_is_told(tmp_path: Path):
    with pytest.raises(DataError, match=r"neither train\.json \(COCO\) nor .*train\.txt \(PASCAL VOC\)"):
        split_file(tmp_path, "train")
    (tmp_path / "Annotations").mkdir()
    with pytest.raises(DataError, match=r"Main: holds none of train\.txt, val\.txt, test\.txt"):
        split_files(tmp_path)
    with pytest.raises(DataError, match="none: No such file or folder"):
        split_files(tmp_path / "none")
    with pytest.raises(DataError, match=r"train\.txt: No such file"):
        read_annotations(tmp_path, split="train")
