"""How the commands' help says what ``--data`` and ``--images`` may be; `model.training.splits` is what reads it."""

from pathlib import Path

FOLDER = (
    "a folder with train.json and val.json (COCO instances) and images/, or a PASCAL VOC folder with "
    "ImageSets/Main/train.txt and val.txt, Annotations/ and JPEGImages/"
)
ONE_SPLIT = (
    "a COCO instances file, the list of a PASCAL VOC split (FOLDER/ImageSets/Main/val.txt), "
    "or a folder of either layout"
)
PICTURES = "where the pictures lie, if not in images/ (COCO) or JPEGImages/ (VOC)"


def short_path(path: Path) -> str:
    """A file by its name and its folder's, a folder by its own: what goes out into the world says no more of where."""
    resolved = path.resolve()
    return resolved.name if resolved.is_dir() else f"{resolved.parent.name}/{resolved.name}"
