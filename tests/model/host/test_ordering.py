"""Both ways of sorting say the same, and what NumPy's stable sort says."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.host import ordering
from model.host.ordering import falling, partitioned, vectors_sort_fast
from model.structures import FloatArray

FLOATS = st.floats(width=32, allow_nan=False)


@pytest.fixture(params=[True, False], ids=["in vectors", "without"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(ordering, "vectors_sort_fast", lambda: request.param)
    return bool(request.param)


def stable(values: FloatArray) -> list[int]:
    return (-values).argsort(kind="stable").tolist()  # type: ignore[no-any-return]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("count", [0, 1, 2, 511, 512, 513, 5000])
def test_equal_values_stay_as_they_stand(count: int):
    values = np.random.default_rng(count).standard_normal(count).astype(np.float16).astype(np.float32)
    assert falling(values).tolist() == stable(values)
    assert falling(values).dtype == np.intp


@given(arrays(np.float32, st.integers(0, 40), elements=FLOATS))
def test_every_float_has_its_place(values: FloatArray):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "vectors_sort_fast", lambda: True)
        patch.setattr(ordering, "_FEW", 0)
        assert falling(values).tolist() == stable(values)


@pytest.mark.usefixtures("way")
def test_the_ends_of_the_floats_and_both_zeros():
    ends = [0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 3.4e38, -3.4e38, 1.0, -1.0]
    values = np.tile(np.array(ends, dtype=np.float32), 100)
    before = values.copy()
    assert falling(values).tolist() == stable(values)
    assert np.array_equal(values, before)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("place", [0, 1, 700, 1499])
def test_a_partition_has_the_highest_in_its_end(place: int):
    values = np.random.default_rng(place).standard_normal((3, 1500)).astype(np.float16).astype(np.float32)
    places = partitioned(values, place)
    assert np.array_equal(np.sort(places, axis=1), np.tile(np.arange(1500), (3, 1)))
    parted = np.take_along_axis(values, places, axis=1)
    assert np.array_equal(np.sort(parted[:, place:]), np.sort(values)[:, place:])


@pytest.mark.parametrize(
    ("vendor", "family", "fast"),
    [("AuthenticAMD", 25, False), ("AuthenticAMD", 23, False), ("AuthenticAMD", 26, True), ("GenuineIntel", 6, True)],
)
def test_zen_4_sorts_without_vectors(tmp_path: Path, vendor: str, family: int, fast: bool):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: 17\n")
    assert vectors_sort_fast(cpuinfo) is fast


def test_where_nothing_tells_vectors_are_taken(tmp_path: Path):
    assert vectors_sort_fast(tmp_path / "absent")
