"""What the serving part computes from its bursts and loads. How fast anything is is asserted nowhere."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from bench.answers import Agreement
from bench.bursts import Burst, burst
from bench.load import Load, UnexpectedAnswers
from bench.pages import Page
from bench.picture_sets import MIXED, SETS, read_pictures, write_pictures
from bench.running import results_folder, run_parts
from bench.serve import page
from bench.serving import ALONE, CEILINGS, PEER, Serving
from bench.whole_way import batches
from model.config import longest_side_rule
from model.imaging.decoding import Picture
from model.structures import ImageSize
from tests.e2e.conftest import REPOSITORY

LOAD = Load(1, 2.0, 10.0, 100.0, 110.0, 120.0, {"200": 20}, 0, 1000, 1000, cpu_s=0.1, wall_s=2.0)


def serving() -> Serving:
    one, eight = CEILINGS
    return Serving(
        pictures="640x480",
        in_process={
            one: [Burst(20.0, 50.0, (50.0, 80.0, 10.0)), Burst(40.0, 25.0, (25.0, 40.0, 5.0))],
            eight: [Burst(25.0, 320.0), Burst(50.0, 160.0)],
            PEER: [Burst(10.0, 100.0)] * 2,
        },
        loads={
            1: [
                replace(LOAD, by_picture_ms={"a": 52.0, "b": 90.0, "c": 11.0}),
                replace(LOAD, by_picture_ms={"b": 43.0, "a": 28.0}),  # c was not timed in this round
            ],
            8: [replace(LOAD, rate=20.0), replace(LOAD, rate=40.0)],
            32: [replace(LOAD, rate=20.0)] * 2,
            128: [replace(LOAD, rate=19.0, statuses={"200": 10, "429": 3})] * 2,
        },
        agreement=Agreement(1.0, 0.01),
        compared=9,
        names=("a", "b", "c"),
    )


def test_the_ceiling_is_the_better_one_and_ratios_are_taken_round_by_round():
    assert serving().ceiling.values == (25.0, 50.0)
    text = page([serving()]).markdown({}, "`x`")
    assert "| 640x480 | serving efficiency, 8 clients | 0.80 (0.80 - 0.80) | >= 0.90 |" in text
    assert "| 640x480 | added p50 at 1 client, ms | 2.50 (2.00 - 3.00) | <= 3 |" in text
    assert "| 640x480 | p99 at 128 clients, s | 0.12 (0.12 - 0.12) | <= 30, RPN_DEADLINE_S |" in text
    assert "| 640x480 | 128 clients over 32 clients | 0.95 (0.95 - 0.95) | >= 0.95 |" in text
    assert "| 640x480 | 8 clients over plain torchvision | 3.00 (2.00 - 4.00) | >= 2.4 |" in text
    assert "| 1.00 of 9 (furthest 0.010 px) | 1 |" in text
    assert "| 640x480 | 128 clients | 19.0 (19.0 - 19.0) |" in text
    assert text.count("| 6 |\n") == 1, "refusals of all rounds"
    assert ALONE in CEILINGS


def test_the_page_and_its_plots_are_written(tmp_path: Path):
    found = page([serving(), replace(serving(), pictures="mixed <&>")], name="gpu-serve", replicas=2)
    text = found.write(tmp_path, {"processor": "one"}, "`x`")
    assert (tmp_path / "gpu-serve.md").read_text() == text
    assert "- processor: one" in text
    assert "HTTP processes: 2." in text
    files = [line.partition("](")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert len(files) == 3
    for file in files:
        svg = ElementTree.fromstring((tmp_path / file).read_text())
        assert svg.tag.endswith("svg")
    assert {path.name for path in tmp_path.iterdir()} == {*files, "gpu-serve.md"}


def test_a_part_that_got_what_it_must_not_get_has_no_page_and_the_others_go_on(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)  # pytest's own process keeps its handlers

    def failing() -> Page:
        raise UnexpectedAnswers("128 clients got {'504': 3}")

    assert run_parts([failing, lambda: page([serving()])], tmp_path, {}, "`x`") == 1
    assert (tmp_path / "serve.md").exists()
    assert "NO RESULT" in (told := capsys.readouterr().err)
    assert "{'504': 3}" in told
    assert run_parts([lambda: page([serving()])], tmp_path, {}, "`x`") == 0


def test_whatever_a_part_fails_with_the_others_go_on(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def dying() -> Page:
        raise RuntimeError("a side has ended with -9")

    assert run_parts([dying, lambda: page([serving()])], tmp_path, {}, "`x`") == 1
    assert (tmp_path / "serve.md").exists()
    assert "a side has ended with -9" in capsys.readouterr().err


def test_boxes_that_differ_under_load_are_a_fault(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    one = serving()
    other = replace(one, agreement=replace(one.agreement, same=0.99))
    assert run_parts([lambda: page([other])], tmp_path, {}, "`x`") == 1
    assert (tmp_path / "serve.md").exists()
    assert f"AT FAULT: serve: boxes under load are not those alone: {one.pictures}" in capsys.readouterr().err


def test_a_quick_runs_pages_are_not_kept(tmp_path: Path):
    kept = results_folder(None, quick=False)
    assert kept == REPOSITORY / "bench" / "results"
    quick = results_folder(None, quick=True)
    assert quick.is_dir()
    assert not quick.is_relative_to(REPOSITORY)
    quick.rmdir()
    assert results_folder(tmp_path, quick=True) == tmp_path


class FakeSide:
    def __init__(self) -> None:
        self.facts = {"goes": 2.0, "pictures": 8.0}
        self.goes = 0

    def measure(self) -> float:
        self.goes += 1
        return 500.0 if self.goes % 2 else 1500.0


@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_a_burst_is_whole_rotations(seconds: float):
    side = FakeSide()
    assert burst(side, seconds) == Burst(rate=4.0, p50_ms=500.0, by_turn_ms=(500.0, 1500.0))
    assert side.goes % 2 == 0


def test_batches_are_of_one_canvas_and_hold_every_picture_once(tmp_path: Path):
    sizes = ((64, 48), (48, 64), (32, 24), (64, 48), (96, 72))
    paths = write_pictures(sizes, tmp_path)
    pictures = read_pictures(tmp_path)
    assert pictures == [path.read_bytes() for path in paths]
    rule = longest_side_rule(320)
    assert batches(pictures, rule, 1) == [[data] for data in pictures], "in their order"
    found = batches(pictures, rule, 3)
    assert sorted(data for batch in found for data in batch) == sorted(pictures)
    assert sorted(map(len, found)) == [1, 1, 3]
    for batch in found:
        headers = [Picture(data, max_pixels=10**6).header for data in batch]
        assert len({rule.place(header.size).canvas for header in headers}) == 1


def test_the_mixed_set_goes_up_to_twelve_megapixels():
    assert {ImageSize(*size).pixels for size in MIXED} >= {640 * 480, 12_000_000}
    assert set(SETS) == {"640x480", "mixed"}
