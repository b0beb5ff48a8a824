import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.evaluation.recall import BUDGETS, THRESHOLDS, RecallInput, measure_recall


def picture(proposals: list[list[float]], boxes: list[list[float]]) -> RecallInput:
    return RecallInput(
        np.array(proposals, dtype=np.float32).reshape(-1, 4), np.array(boxes, dtype=np.float32).reshape(-1, 4)
    )


def test_by_hand():
    # IoU 0.8 with the first box: found at 0.5 .. 0.8, seven of ten thresholds; the second box is never found
    recall = measure_recall([picture([[0, 0, 10, 8]], [[0, 0, 10, 10], [50, 50, 60, 60]])])
    assert recall.average(100) == pytest.approx(7 / 10 / 2)
    assert recall.at(0.5, 1) == 0.5
    assert recall.at(0.9, 1) == 0.0


def test_the_budget_cuts_by_rank():
    far = [[900.0, 900, 910, 910]] * 10
    recall = measure_recall([picture([*far, [0, 0, 10, 10]], [[0, 0, 10, 10]])])
    assert (recall.average(10), recall.average(100)) == (0.0, 1.0)


def test_one_proposal_finds_one_box():
    recall = measure_recall([picture([[0, 0, 10, 10]], [[0, 0, 10, 10], [0, 0, 10, 10.5]])])
    assert recall.average(100) == 0.5


def test_each_proposal_takes_the_free_box_that_it_overlaps_most():
    proposals = [[0.0, 0, 10, 9], [0, 0, 10, 10]]
    recall = measure_recall([picture(proposals, [[0, 0, 10, 10], [0, 0, 10, 8]])])
    # the first proposal takes the first box (0.90 against 0.89), which leaves the second one 0.80 of the other
    assert recall.at(0.8, 100) == 1.0
    assert recall.at(0.85, 100) == 0.5


def test_by_size_only_boxes_of_that_size_take_part():
    proposals = [[0.0, 0, 36, 36]]
    boxes = [[0.0, 0, 30, 30], [0, 0, 36, 36]]
    recall = measure_recall([picture(proposals, boxes)])
    assert recall.counts == {"all": 2, "small": 1, "medium": 1, "large": 0}
    assert recall.at(0.5, 1) == 0.5
    assert recall.at(0.5, 1, "small") == 1.0, "the medium box must not take the proposal away from the small one"
    assert math.isnan(recall.average(1, "large"))
    assert "AR@1/large" not in recall.to_dict()


def test_pictures_weigh_by_their_boxes_and_empty_ones_not_at_all():
    found, missed = picture([[0, 0, 9, 9]], [[0, 0, 9, 9]]), picture([], [[0, 0, 9, 9]] * 3)
    assert measure_recall([found, missed, picture([[1, 1, 2, 2]], []), picture([], [])]).average(10) == 0.25


def test_nothing_at_all_is_not_a_number():
    assert math.isnan(measure_recall([]).average(100))
    assert measure_recall([]).to_dict() == {}


box = st.tuples(*(st.integers(0, 40) for _ in range(4))).map(lambda b: [b[0], b[1], b[0] + b[2] + 1, b[1] + b[3] + 1])


@given(st.lists(box, max_size=12), st.lists(box, min_size=1, max_size=6))
@settings(max_examples=60)
def test_laws(proposals: list[list[float]], boxes: list[list[float]]):
    recall = measure_recall([picture(proposals, boxes)])
    averages = [recall.average(b) for b in BUDGETS]
    assert averages == sorted(averages), "more proposals never find less"
    at = [recall.at(round(t, 2), 1000) for t in THRESHOLDS]
    assert at == sorted(at, reverse=True), "a stricter threshold never finds more"
    assert measure_recall([picture(proposals + boxes, boxes)]).average(1000) >= recall.average(1000)
    assert measure_recall([picture(boxes, boxes)]).average(1000) == 1.0
