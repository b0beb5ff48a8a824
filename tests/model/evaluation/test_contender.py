from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.errors import DataError
from model.evaluation.baselines.baseline import BASELINES, load_baseline
from model.evaluation.contender import run_baseline
from model.structures import FloatArray, PixelArray
from model.training.annotations import AnnotatedPicture, read_annotations
from tests.scenes import write_coco


@pytest.fixture
def pictures(tmp_path: Path) -> list[AnnotatedPicture]:
    return read_annotations(write_coco(tmp_path, "val", range(2)))


@pytest.mark.parametrize("name", BASELINES)
def test_each_baseline_ranks_boxes_of_each_picture(name: str, pictures: list[AnnotatedPicture]):
    contender = run_baseline(name, load_baseline(name), pictures, progress=False)
    assert [0 < len(boxes) <= 1000 for boxes in contender.boxes] == [True] * 2
    assert {boxes.dtype for boxes in contender.boxes} == {np.dtype(np.float32)}
    figures = contender.figures()
    assert 0 < figures["AR@100"] <= figures["AR@1000"] <= 1
    assert figures["seconds_per_picture"] > 0


def test_who_knows_the_answer_recalls_all_of_it_and_only_so_many_boxes_count(pictures: list[AnnotatedPicture]):
    answers = iter(pictures)

    def told(pixels: PixelArray) -> FloatArray:
        picture = next(answers)
        assert pixels.shape == (picture.size.height, picture.size.width, 3)
        return np.concatenate([picture.boxes, np.zeros((5000, 4), np.float32)])

    contender = run_baseline("told", told, pictures, progress=False)
    assert contender.recall.average(10) == 1.0
    assert all(len(boxes) == 1000 for boxes in contender.boxes)


def test_nothing_to_measure_and_a_picture_that_is_gone(pictures: list[AnnotatedPicture]):
    baseline = load_baseline("random")
    assert run_baseline("random", baseline, [], progress=False).seconds >= 0
    with pytest.raises(DataError, match=r"gone\.png"):
        run_baseline("random", baseline, [replace(pictures[0], path=Path("gone.png"))], progress=False)
