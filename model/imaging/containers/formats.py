"""A container's reader by the name of its format."""

import struct
from collections.abc import Callable

from model.imaging.containers.bmp import read_bmp
from model.imaging.containers.container import Container
from model.imaging.containers.gif import read_gif
from model.imaging.containers.jpeg import read_jpeg
from model.imaging.containers.png import read_png
from model.imaging.containers.tiff import read_tiff
from model.imaging.containers.webp import read_webp

READERS: dict[str, Callable[[bytes], Container]] = {
    "JPEG": read_jpeg,
    "PNG": read_png,
    "WEBP": read_webp,
    "GIF": read_gif,
    "BMP": read_bmp,
    "TIFF": read_tiff,
}


def read_container(kind: str, data: bytes) -> Container:
    """The container of a file of this format, one of `READERS`.

    Raises:
        ValueError: the container is broken, truncated, or of a build that only an attack has.
    """
    try:
        return READERS[kind](data)
    except (IndexError, struct.error, OverflowError) as error:  # a field lies beyond the last byte
        raise ValueError("the data end too early") from error
