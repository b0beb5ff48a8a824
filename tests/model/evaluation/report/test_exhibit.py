import numpy as np

from model.evaluation.report.exhibit import Exhibit, choose_extremes


def exhibit(index: int, recall: float, boxes: int = 1) -> Exhibit:
    return Exhibit(index, recall, np.zeros(boxes, dtype=bool))


def indices(exhibits: list[Exhibit]) -> list[int]:
    return [e.index for e in exhibits]


def test_the_best_and_the_worst_of_equals_the_one_with_more_boxes():
    exhibits = [exhibit(0, 0.5), exhibit(1, 1.0, 2), exhibit(2, 1.0, 3), exhibit(3, 0.0), exhibit(4, 0.0, 9)]
    best, worst = choose_extremes(exhibits, 2)
    assert indices(best) == [2, 1]
    assert indices(worst) == [4, 3]


def test_no_picture_is_both():
    best, worst = choose_extremes([exhibit(i, i / 10) for i in range(3)], 6)
    assert (indices(best), indices(worst)) == ([2, 1], [0])
    assert [indices(row) for row in choose_extremes([exhibit(7, 0.1)], 6)] == [[7], []]
    assert choose_extremes([], 6) == ([], [])
