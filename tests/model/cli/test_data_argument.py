"""How data are called in what goes out into the world."""

from pathlib import Path

from model.cli.data_argument import short_path


def test_a_file_is_told_by_its_folder_and_a_folder_by_itself(tmp_path: Path):
    folder = tmp_path / "scenes"
    folder.mkdir()
    (folder / "val.json").touch()
    assert short_path(folder) == "scenes"
    assert short_path(folder / "val.json") == "scenes/val.json"
