"""A data set's picture, from its file: the one way for training, evaluation and the check of data."""

import errno
from pathlib import Path

from PIL import Image

from model.errors import DataError, PictureError
from model.imaging.decoding import Header, Picture
from model.structures import ImageSize

# Far above any photograph that a data set holds on purpose; a bomb would otherwise take the training down.
_MAX_PIXELS = 200_000_000


def is_there(path: Path) -> bool:
    """Whether there is a file of this name, which may come from anywhere, and be none that a file can have."""
    try:
        return path.is_file()
    except OSError as error:  # a folder that may not be looked into: to read the picture will say so
        return error.errno != errno.ENAMETOOLONG


def read_picture(path: Path) -> tuple[Header, Image.Image]:
    """What the file declares of itself, and the upright RGB picture.

    Raises:
        DataError: naming the file, which is missing, or no picture, or damaged.
    """
    try:
        picture = Picture(path.read_bytes(), max_pixels=_MAX_PIXELS)
        return picture.header, picture.decode()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # a name that no file can have
        raise DataError(f"{str(path)!r}: {error}") from error
    except PictureError as error:
        raise DataError(f"{path}: {error}") from error


def size_mismatch(header: Header, annotated: ImageSize) -> str | None:
    """How the annotated size differs from the upright picture's, or None where it does not."""
    if header.size == annotated:
        return None
    if turned_only(header, annotated):
        turn = f"EXIF orientation {header.exif_orientation} turns it"
        return f"is {header.size} when shown ({turn}), annotated as stored: {annotated}"
    return f"is {header.size}, annotated as {annotated}"


def turned_only(header: Header, annotated: ImageSize) -> bool:
    """The annotated size is that of the stored pixels, which EXIF turns by a quarter when shown."""
    stored = ImageSize(header.size.height, header.size.width)
    return header.is_sideways and annotated == stored != header.size
