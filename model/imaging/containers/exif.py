"""The one thing that EXIF is read for. Read here because Pillow warns of broken EXIF, and parses all of it."""

import struct

from model.imaging.containers.tiff import sensible_orientation, tiff_tags

PREFIX = b"Exif\0\0"
_ORIENTATION = 0x0112


def read_orientation(exif: bytes) -> int:
    """The orientation in a block of EXIF, 1 to 8; 1 where it says none or nothing sensible."""
    block = exif.removeprefix(PREFIX)
    if block[:2] not in (b"II", b"MM"):
        return 1
    try:
        found = next((tag for tag in tiff_tags(block) if tag.number == _ORIENTATION), None)
        # Of any other number of values none is unpacked: there may be millions of them, and Python waits for all.
        return sensible_orientation(found.values(block)) if found and found.layout and found.count == 1 else 1
    except (ValueError, struct.error, OverflowError):  # broken EXIF says nothing, and must not cost the picture
        return 1
