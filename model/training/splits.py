"""Where a data set's splits are, in either layout.

| layout | a split is named by | its pictures |
|---|---|---|
| COCO | ``FOLDER/train.json``, an instances file | ``images/`` beside it |
| PASCAL VOC | ``FOLDER/ImageSets/Main/train.txt``, a list | ``FOLDER/JPEGImages/``, XML in ``FOLDER/Annotations/`` |

A file that ends in ``.txt`` is a VOC list; any other is a COCO instances file. A folder that holds both layouts is read
as COCO.
"""

from pathlib import Path

from model.errors import DataError
from model.training.coco import parse_coco
from model.training.faults import Report
from model.training.records import Records
from model.training.voc import ANNOTATIONS, PICTURES, SPLITS, parse_voc, voc_root

NAMES = ("train", "val", "test")
# Those that `rpn train` takes from a folder.
TRAINED_ON = ("train", "val")


def split_file(path: Path, name: str) -> Path:
    """The file of a folder's split of that name, which may be missing; a path that is no folder is the split itself.

    Raises:
        DataError: the folder holds no data set of either layout.
    """
    if not path.is_dir():
        return path
    if any(_coco_file(path, other).is_file() for other in NAMES):
        return _coco_file(path, name)
    if (path / ANNOTATIONS).is_dir():
        return _voc_file(path, name)
    raise DataError(f"{path}: holds neither {name}.json (COCO) nor {ANNOTATIONS}/ and {SPLITS / name}.txt (PASCAL VOC)")


def split_files(path: Path) -> dict[str, Path]:
    """The splits that a folder holds, of `NAMES`, by name; a path that is no folder is one split.

    Raises:
        DataError: there are none.
    """
    if not path.exists():
        raise DataError(f"{path}: No such file or folder")
    if not path.is_dir():
        return {path.stem: path}
    found = {name: file for name in NAMES if (file := split_file(path, name)).is_file()}
    if not found:
        raise DataError(f"{path / SPLITS}: holds none of {', '.join(f'{name}.txt' for name in NAMES)}")
    return found


def picture_folder(split: Path, images: Path | None = None) -> Path:
    """Where a split's pictures lie: ``images`` where it is given, or the layout's own place."""
    if images is not None:
        return images
    return voc_root(split) / PICTURES if _is_voc(split) else split.parent / "images"


def parse_split(split: Path, images: Path | None, report: Report, *, boxes_wanted: bool = True) -> Records:
    """The records of a split in either layout; faults go to ``report``.

    ``boxes_wanted``: a COCO file that lists pictures alone, as those of its own test splits do, is a fault.
    """
    folder = picture_folder(split, images)
    if _is_voc(split):
        return parse_voc(split, folder, report)
    return parse_coco(split, folder, report, boxes_wanted=boxes_wanted)


def _is_voc(split: Path) -> bool:
    return split.suffix == ".txt"


def _coco_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _voc_file(folder: Path, name: str) -> Path:
    return folder / SPLITS / f"{name}.txt"
