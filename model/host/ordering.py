"""Which values of an array are highest, and in which order: as fast as the processor's own sorting allows.

NumPy sorts in vectors where there are AVX-512, AVX2 or their like. Zen 4 is slow at what its AVX-512 way does most,
storing chosen lanes of a register in a row (numpy/x86-simd-sort, issue 6): `argpartition` takes two to six times as
long with it as without, and an Intel processor of the same year a fifth of the time. So both ways are here; their
results are the same.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.cores import CPUINFO, processor_fact
from model.structures import FloatArray

IndexArray = npt.NDArray[np.intp]

# Below, NumPy's stable sort is as fast as one of keys: 500 values take 6 us either way, 5,000 take 230 and 36.
_FEW = 512
_SIGN, _LOW = 31, 32  # bits
_ZEN_4 = 0x19  # AMD's family, Zen 3's too


def partitioned(values: FloatArray, place: int) -> IndexArray:
    """`numpy.argpartition` along the last axis: from ``place`` on stands what is at least as high as what is before it.

    In no order otherwise, and which of equal values come before ``place`` is not said.
    """
    # one place named twice keeps NumPy from vectors
    places: IndexArray = values.argpartition(place if vectors_sort_fast() else (place, place), axis=-1)
    return places


def falling(values: FloatArray) -> IndexArray:
    """The places of float32 values (K,), none of them NaN, highest first, equal ones as they stand."""
    if len(values) < _FEW or not vectors_sort_fast():
        return (-values).argsort(kind="stable")
    # Keys that are all different, and so need no stable sort: the value's bits, as an integer that falls where the
    # value rises, above the place's.
    bits = (values + np.float32(0)).view(np.int32)  # there is one zero now
    keys = bits >> _SIGN
    keys &= 0x7FFFFFFF
    keys ^= bits  # rises with the value: a negative one's bits rise with its size
    np.invert(keys, out=keys)
    ordered = keys.astype(np.int64)
    ordered <<= _LOW
    ordered |= np.arange(len(ordered))
    ordered.sort()
    ordered &= 0xFFFFFFFF
    return ordered.astype(np.intp, copy=False)


@lru_cache(maxsize=1)
def vectors_sort_fast(cpuinfo: Path = CPUINFO) -> bool:
    """Whether this is no AMD processor up to Zen 4; OpenJDK, which sorts alike, draws the line there (JDK-8317976)."""
    family = processor_fact("cpu family", cpuinfo)
    return processor_fact("vendor_id", cpuinfo) != "AuthenticAMD" or (family.isdecimal() and int(family) > _ZEN_4)
