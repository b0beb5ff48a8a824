"""PASCAL VOC's folders to records: one XML file a picture, one list of their names a split.

A split is named by its list, ``FOLDER/ImageSets/Main/train.txt``; a line ``000012`` of it means
``FOLDER/Annotations/000012.xml`` and ``FOLDER/JPEGImages/000012.jpg``.
"""

import math
import re
from pathlib import Path
from xml.etree.ElementTree import Element

from model.structures import ImageSize
from model.training.faults import Fault, FaultKind, RecordError, Report, attempt
from model.training.records import BoxRecord, PictureRecord, Records, picture_size
from model.training.stored_picture import is_there
from model.training.xml_tree import parse_xml

ANNOTATIONS, PICTURES, SPLITS = Path("Annotations"), Path("JPEGImages"), Path("ImageSets", "Main")

# The lists of one class say after each name whether it shows the class, e.g. `aeroplane_train.txt`: `000012 -1`.
_OF_ONE_CLASS = re.compile(r"\S+\s+(-1|0|1)")


def voc_root(split: Path) -> Path:
    """The folder that holds ``ImageSets/Main/<split>.txt``."""
    return split.absolute().parent.parent.parent


def parse_voc(split: Path, images: Path, report: Report) -> Records:
    """The records of a split's list, in its order, pictures without boxes included.

    ``images`` is the folder of the pictures. ``difficult`` boxes are regions to ignore. VOC counts pixels from 1 and
    both corners are in the box (the devkit's ``xmin``..``xmax``); ours count from 0 and end outside it, so only the
    first corner moves. Every fault goes to ``report``; where that returns, the record is left out and reading goes on.
    """
    pictures: list[PictureRecord] = []
    named: dict[str, Path] = {}
    for where, name in _names(split, report):
        if name in named:
            report(Fault(FaultKind.DUPLICATE_ID, split, where, f"{name!r} is in the list twice"))
            continue
        named[name] = images / f"{name}.jpg"
        file = voc_root(split) / ANNOTATIONS / f"{name}.xml"
        root = attempt(report, _load, file)
        if root is not None:
            named[name] = _picture_path(images, name, root)
            pictures += _picture(file, name, named[name], root, report)
    return Records(tuple(pictures), frozenset(named.values()))


def _names(split: Path, report: Report) -> list[tuple[str, str]]:
    """Each line of the list that is not empty, with its number."""
    try:
        lines = split.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        report(Fault(FaultKind.UNREADABLE_ANNOTATIONS, split, "", reason or str(error)))
        return []
    names = [(f"line {number}", line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if names and all(_OF_ONE_CLASS.fullmatch(name) for _, name in names):
        detail = "is the list of one class; a split's own list is train.txt, val.txt, trainval.txt or test.txt"
        report(Fault(FaultKind.UNREADABLE_ANNOTATIONS, split, "", detail))
        return []
    return names


def _load(file: Path) -> Element:
    try:
        return parse_xml(file.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:
        reason = str(error)
    raise RecordError(Fault(FaultKind.UNREADABLE_ANNOTATIONS, file, "", reason))


def _picture_path(images: Path, name: str, root: Element) -> Path:
    """``<name>.jpg``, as the devkit has it; where that is missing, the ``filename`` of the XML, for other formats.

    Not the other way round: ``filename`` is often left over from before the files were renamed.
    """
    usual = images / f"{name}.jpg"
    stated = images / Path((root.findtext("filename") or "").strip()).name
    return stated if not is_there(usual) and is_there(stated) else usual


def _picture(file: Path, name: str, path: Path, root: Element, report: Report) -> list[PictureRecord]:
    size = attempt(report, _size, file, root)
    objects = enumerate(root.findall("object"))
    boxes = [attempt(report, _box, file, f"object[{i}]", element, report) for i, element in objects]
    if size is None:
        return []
    return [PictureRecord(file, f"image {name!r}", path, size, tuple(box for box in boxes if box is not None))]


def _size(file: Path, root: Element) -> ImageSize:
    try:
        return picture_size(*(_number(file, "size", root, f"size/{side}") for side in ("width", "height")))
    except (ValueError, OverflowError) as error:
        raise RecordError(Fault(FaultKind.BAD_RECORD, file, "size", str(error))) from error


def _box(file: Path, where: str, element: Element, report: Report) -> BoxRecord:
    x1, y1, x2, y2 = (_number(file, where, element, f"bndbox/{name}") for name in ("xmin", "ymin", "xmax", "ymax"))
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise RecordError(Fault(FaultKind.NON_FINITE_BOX, file, where, f"bndbox {x1}, {y1}, {x2}, {y2} is not finite"))
    category = (element.findtext("name") or "").strip()
    if not category:
        report(Fault(FaultKind.UNKNOWN_CATEGORY, file, where, "has no name"))
    return BoxRecord(where, (x1 - 1, y1 - 1, x2, y2), _is_difficult(file, where, element), category or None)


def _is_difficult(file: Path, where: str, element: Element) -> bool:
    """Anything else than 0 or 1 would be a guess, and a box to ignore is a label lost."""
    text = (element.findtext("difficult") or "").strip()
    if text not in ("", "0", "1"):
        raise RecordError(Fault(FaultKind.BAD_RECORD, file, where, f"'difficult' must be 0 or 1, not {text[:80]!r}"))
    return text == "1"


def _number(file: Path, where: str, element: Element, path: str) -> float:
    text = element.findtext(path)
    if text is None:
        raise RecordError(Fault(FaultKind.BAD_RECORD, file, where, f"{path!r} is missing"))
    try:
        return float(text)
    except ValueError as error:
        detail = f"{path!r} must be a number, not {text.strip()[:80]!r}"
        raise RecordError(Fault(FaultKind.BAD_RECORD, file, where, detail)) from error
