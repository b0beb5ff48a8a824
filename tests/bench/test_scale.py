"""What is varied is really asked for, and what comes back lands in its row."""

from pathlib import Path

import pytest

from bench import scale
from bench.decode import page as decode_page
from bench.rounds import Samples
from bench.scale import Effort, Variant, measure, table
from bench.table import Table
from tests.bench.tiny_server import Asked, Reply, TinyServer, tiny_server


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"a")
    return str(path)


def test_variants_take_turns_each_with_its_own_service_path_and_clients(picture: str):
    def reply(_: int, asked: Asked) -> Reply:
        one.resident += 2**20
        return Reply()

    with tiny_server(reply) as one, tiny_server() as other:
        variants = [
            Variant("x", (one,), (picture,), clients=2, path="/propose?top_n=1"),
            Variant("y", (one, other), (picture,), clients=4),
        ]
        group = measure(variants, Effort(rounds=2, seconds=0.0))
    assert {asked.path for asked in other.asked} == {"/propose"}
    assert {asked.path for asked in one.asked} == {"/propose", "/propose?top_n=1"}
    assert [len(point.loads) for point in group.values()] == [2, 2]
    assert [load.clients for point in group.values() for load in point.loads] == [2, 2, 4, 4]
    assert 100 < group["x"].resident_mib < 200 < group["y"].resident_mib, "after the first round, all services"
    text = str(table("top_n", group))
    assert text.splitlines()[0].startswith("| top_n | requests a second |")
    assert len(text.splitlines()) == 4


def test_a_page_of_every_group(picture: str):
    with tiny_server() as server:
        group = measure([Variant(str(c), (server,), (picture,), c) for c in (1, 2)], Effort(rounds=1, seconds=0.0))
    page = scale.page({"clients": group, "top_n": group}, Table(("a",), (("b",),)))
    text = page.markdown({}, "`x`")
    assert text.index("| a |") < text.index("| clients |") < text.index("| top_n |")
    assert all("<svg" in svg for svg in page.plots.values())


def test_decoding_is_told_as_a_ratio():
    text = decode_page({"640x480": Samples((2.0, 1.0)), "4000x3000": Samples((10.0, 10.0))}).markdown({}, "`x`")
    assert "| 4000x3000 | 10.00 (10.00 - 10.00) | 7.5 (5.0 - 10.0) | <= 6 |" in text


def test_a_fake_has_what_a_service_has():
    from bench.service_process import ServiceProcess

    assert all(hasattr(ServiceProcess, name) for name in ("resident_bytes",))
    assert TinyServer.resident == 100 * 2**20
