import re

import numpy as np
import pytest

from model.evaluation.baselines.baseline import load_baseline
from model.evaluation.contender import Contender, run_baseline
from model.evaluation.report.side_by_side import side_by_side
from model.training.annotations import AnnotatedPicture, read_annotations
from tests.scenes import write_coco


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[AnnotatedPicture]:
    return read_annotations(write_coco(tmp_path_factory.mktemp("scenes"), "val", range(4)))


@pytest.fixture(scope="module")
def contenders(pictures: list[AnnotatedPicture]) -> list[Contender]:
    names = ("sliding-window", "random")
    measured = [run_baseline(name, load_baseline(name), pictures, progress=False) for name in names]
    learned = Contender(
        "<mine> 1",
        measured[0].boxes,
        measured[0].recall,
        0.25,
        is_learned=True,
        conditions="NMS at 0.5, torch fp32 on cpu",
    )
    return [learned, *measured]


def section(contenders: list[Contender], pictures: list[AnnotatedPicture]) -> str:
    return "".join(side_by_side(contenders, [picture.boxes for picture in pictures]))


def test_each_has_a_row_of_figures_and_a_line_in_each_chart(
    contenders: list[Contender], pictures: list[AnnotatedPicture]
):
    html = section(contenders, pictures)
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', html)
    assert "<p>&lt;mine&gt; 1: NMS at 0.5, torch fp32 on cpu.</p>" in html, "a baseline has nothing to say"
    assert [name for name, _ in rows] == ["&lt;mine&gt; 1", "sliding-window", "random"]
    figures = re.findall("<td>(.*?)</td>", rows[2][1])
    assert figures[:5] == [f"{contenders[2].recall.average(n):.3f}" for n in (1, 10, 100, 300, 1000)]
    assert re.findall("<td>(.*?)</td>", rows[0][1])[-1] == "0.25"
    drawings = re.findall("<svg.*?</svg>", html)
    assert len(drawings) == 4
    for drawing in drawings:
        curves = re.findall(r'<path [^>]*fill="none" stroke="(#\w+)"[^>]*?(stroke-dasharray="5 4")?/>', drawing)
        assert len({colour for colour, _ in curves}) == 3
        assert [bool(dashes) for _, dashes in curves] == [True, True, False], "the checkpoint lies on top"
        assert all(f">{name}</text>" in drawing for name in ("&lt;mine&gt; 1", "sliding-window", "random"))


def test_one_alone_has_nobody_beside_it(contenders: list[Contender], pictures: list[AnnotatedPicture]):
    assert section(contenders[:1], pictures) == section([], []) == ""


def test_without_boxes_there_are_dashes(contenders: list[Contender]):
    none = np.zeros((0, 4), dtype=np.float32)
    empty = [run_baseline(c.name, lambda _: none, [], progress=False) for c in contenders]
    html = "".join(side_by_side(empty, []))
    assert "<td>-</td>" in html
    assert "nan" not in html
