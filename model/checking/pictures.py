"""What can be wrong with the picture files: each is decoded once, in a few threads, however many records name it."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from model.errors import DataError
from model.imaging.decoding import Header
from model.training.faults import Fault, FaultKind
from model.training.records import PictureRecord
from model.training.stored_picture import is_there, read_picture, size_mismatch, turned_only


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What a file turned out to be.

    ``header`` and ``digest`` (equal for equal upright pixels, whatever the encoding) are None where it could not be
    decoded; then ``problem`` says why. It is empty for a file that is not there.
    """

    header: Header | None = None
    digest: bytes | None = None
    problem: str = ""


def inspect_pictures(paths: Iterable[Path], *, workers: int = 4, progress: bool = True) -> dict[Path, PictureFacts]:
    """Decode every picture; threads suffice, since Pillow decodes outside Python's lock."""
    unique = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            facts = pool.map(inspect_picture, unique)
            shown = tqdm(facts, total=len(unique), desc="decode", unit="picture", disable=not progress, leave=False)
            return dict(zip(unique, shown, strict=True))
        except BaseException:  # Ctrl-C too: what waits in the pool would be decoded to the end otherwise
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def inspect_picture(path: Path) -> PictureFacts:
    """What one file turns out to be."""
    if not is_there(path):
        return PictureFacts()
    try:
        header, picture = read_picture(path)
    except DataError as error:
        return PictureFacts(problem=str(error))
    return PictureFacts(header, _digest(picture))


def picture_fault(record: PictureRecord, facts: PictureFacts) -> Fault | None:
    """What is wrong with the file that a record names; at most one thing, the gravest."""
    found = _judge(record, facts)
    return None if found is None else Fault(found[0], record.file, record.where, found[1])


def _judge(record: PictureRecord, facts: PictureFacts) -> tuple[FaultKind, str] | None:
    header = facts.header
    if header is None:
        if facts.problem:
            return FaultKind.UNDECODABLE_PICTURE, facts.problem
        return FaultKind.MISSING_PICTURE, f"{record.path} is not there"
    if mismatch := size_mismatch(header, record.size):
        kind = FaultKind.TURNED_SIZE if turned_only(header, record.size) else FaultKind.WRONG_SIZE
        return kind, f"{record.path} {mismatch}"
    if header.exif_orientation != 1:
        turn = f"EXIF orientation {header.exif_orientation}"
        return FaultKind.TURNED_PICTURE, f"{record.path} has {turn}; its boxes are taken as those of the picture shown"
    return None


def _digest(picture: Image.Image) -> bytes:
    digest = hashlib.blake2b(str(picture.size).encode(), digest_size=16)
    digest.update(picture.tobytes())
    return digest.digest()
