"""Progressive JPEG: what of it an eighth of its size shows.

At an eighth libjpeg makes one pixel of each block, its mean (DC), of every component that is not subsampled both ways.
Of such a component a progressive file holds all else (AC) in scans of its own, mostly three quarters of its bytes,
which libjpeg decodes and then makes no use of. (ITU-T T.81, annex G; libjpeg-turbo's ``jdmaster.c``.)
"""

import struct
from dataclasses import dataclass, field

from model.imaging.containers.jpeg import SCAN, segments

_PROGRESSIVE, _START, _END = 0xC2, b"\xff\xd8", b"\xff\xd9"
_BLOCK = 8  # pixels a side
_COEFFICIENTS = 64  # a block's, the mean among them
# AC's table 0: fifteen codes of four bits, the code k for a run of blocks without any, 2^k and k further bits of them.
_RUNS = 15
_TABLE = b"\xff\xc4" + struct.pack(">HB16B", 19 + _RUNS, 0x10, 0, 0, 0, _RUNS, *[0] * 12)
_TABLE += bytes(k << 4 for k in range(_RUNS))
_NO_RESTARTS = b"\xff\xdd\0\4\0\0"


@dataclass(slots=True)
class _Component:
    """``blocks``: in a scan of its own; ``bits``: of each coefficient how many are still missing, -1 for all."""

    blocks: int
    shows_means: bool
    bits: list[int] = field(default_factory=lambda: [-1] * _COEFFICIENTS)

    @property
    def may_leave_out_detail(self) -> bool:
        """Where bits are missing libjpeg guesses at them from the means around, and they would show."""
        return self.shows_means and not any(self.bits[1:])


def without_detail(jpeg: bytes) -> bytes:
    """The same JPEG less what does not show at an eighth of its size; there both give the same pixels.

    Anything but a whole, progressive, Huffman-coded file is returned as it is, for the decoder to judge.
    """
    try:
        return _without_detail(jpeg)
    except (IndexError, KeyError, ValueError, struct.error, ZeroDivisionError):  # fields missing, or without sense
        return jpeg


def _without_detail(jpeg: bytes) -> bytes:
    components: dict[int, _Component] = {}
    parts: list[tuple[int | None, bytes]] = []  # of a scan of detail, with its component
    for marker, segment in segments(jpeg):
        detailed = None
        if marker == _PROGRESSIVE:
            components = _components(segment)
        elif marker == SCAN:
            detailed = _take_scan(segment, components)
        parts.append((detailed, segment))
    left_out = {name for name, component in components.items() if component.may_leave_out_detail}
    if not left_out or parts[-1][1] != _END:
        return jpeg
    kept = [segment for detailed, segment in parts[:-1] if detailed not in left_out]
    empty = [_empty_scan(name, components[name].blocks) for name in sorted(left_out)]
    return b"".join((_START, *kept, _NO_RESTARTS, _TABLE, *empty, _END))


def _components(frame: bytes) -> dict[int, _Component]:
    height, width, count = struct.unpack_from(">HHB", frame, 5)
    sampled = {name: (by >> 4, by & 15) for name, by, _ in struct.iter_unpack("BBB", frame[10 : 10 + 3 * count])}
    across, down = (max(factors) for factors in zip(*sampled.values(), strict=True))
    return {
        name: _Component(
            blocks=-(-width * h // (_BLOCK * across)) * -(-height * v // (_BLOCK * down)),
            # A component that is coarser by two or more both ways is decoded larger in the place of being enlarged.
            shows_means=bool(across % (2 * h) or down % (2 * v)),
        )
        for name, (h, v) in sampled.items()
    }


def _take_scan(scan: bytes, components: dict[int, _Component]) -> int | None:
    """Note which bits of which component it brings; the component, where it is of detail alone."""
    count = scan[4]
    names = [scan[5 + 2 * n] for n in range(count)]
    first, last, bits = scan[5 + 2 * count], scan[6 + 2 * count], scan[7 + 2 * count] & 15
    for name in names:
        components[name].bits[first : last + 1] = [bits] * (last + 1 - first)
    return names[0] if first > 0 else None


def _empty_scan(component: int, blocks: int) -> bytes:
    """A scan that says of this many blocks that they have no detail, to the last bit."""
    runs = ""
    while blocks:
        k = min(blocks.bit_length(), _RUNS) - 1
        run = min(blocks, (2 << k) - 1)
        runs += f"{k:04b}" + f"{run:b}"[1:]
        blocks -= run
    runs += "1" * (-len(runs) % 8)
    coded = bytes(int(runs[at : at + 8], 2) for at in range(0, len(runs), 8)).replace(b"\xff", b"\xff\0")
    header = struct.pack(">HBBBBBB", 8, 1, component, 0, 1, _COEFFICIENTS - 1, 0)
    return b"\xff\xda" + header + coded
