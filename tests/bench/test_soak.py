"""The verdict on memory, and that it is watched while the load runs."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load import Plan
from bench.soak import Soak, page, watch
from tests.bench.test_serve import LOAD
from tests.bench.tiny_server import Asked, Reply, tiny_server


def soak(memory: list[float]) -> Soak:
    return Soak([(10.0 * i, mib) for i, mib in enumerate(memory)], LOAD)


@given(st.floats(100, 5000), st.floats(-0.5, 0.5), st.integers(10, 200))
def test_a_straight_line_is_found(base: float, step: float, count: int):
    found = soak([base + step * i for i in range(count)])
    assert found.slope == pytest.approx(step / 10, abs=1e-6)
    assert found.growth == pytest.approx(step * (len(found.settled) - 1), abs=1e-3)


def test_the_leak_that_would_show_is_just_not_flat():
    found = soak([1000.0] * 100)
    seconds_a_sample = 10.0
    for share, flat in ((0.98, True), (1.03, False)):  # the median grows with the leak, by a hundredth
        step = share * found.visible_leak * found.load.rate * seconds_a_sample / 2**20
        assert soak([1000.0 + step * i for i in range(-20, 80)]).flat is flat


def test_what_grows_while_it_settles_does_not_count():
    found = soak([500.0 + 20 * i for i in range(20)] + [1000.0] * 80)
    assert found.slope == 0.0
    assert found.median == 1000.0
    assert found.flat


@pytest.mark.parametrize(("growth", "flat"), [(0.0, True), (-50.0, True), (19.0, True), (21.0, False), (200.0, False)])
def test_more_than_two_hundredths_is_not_flat(growth: float, flat: bool):
    assert soak([1000.0] * 25 + [1000.0 + growth * i / 99 for i in range(100)]).flat is flat


def test_the_page_gives_the_verdict_and_the_bytes_for_each_request():
    leak = page(soak([1000.0 + i for i in range(100)])).markdown({}, "`x`")
    assert "| verdict | **NOT FLAT** " in leak
    assert "| slope | +360.0 MiB an hour, +10486 bytes a request |" in leak
    assert page(soak([1000.0 + i for i in range(100)])).fault is not None
    assert page(soak([1000.0] * 100)).fault is None
    assert "| verdict | **flat** " in page(soak([1000.0] * 100)).markdown({}, "`x`")


def test_memory_is_sampled_until_the_load_ends(tmp_path: Path):
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"a")

    def reply(_: int, asked: Asked) -> Reply:
        server.resident += 2**20
        return Reply()

    with tiny_server(reply) as server:
        found = watch(server, Plan([server.address], [str(picture)], 2, seconds=0.4, warm_up=0), every=0.05)
    memory = [mib for _, mib in found.samples]
    assert len(memory) >= 3
    assert memory == sorted(memory)
    assert memory[-1] > memory[0]
    assert replace(found.load).statuses == {"200": len(server.asked)}
