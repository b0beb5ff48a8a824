from pathlib import Path

import numpy as np

from model.evaluation.coverage import measure_coverage
from model.structures import ImageSize, Proposals
from model.training.annotations import AnnotatedPicture


def rows(*boxes: tuple[float, ...]) -> np.ndarray:
    return np.array(boxes, dtype=np.float32).reshape(-1, 4)


def annotated(boxes: np.ndarray, ignored: np.ndarray) -> AnnotatedPicture:
    return AnnotatedPicture(Path("x.png"), ImageSize(100, 100), boxes, ignored)


def test_what_covers_an_object_and_what_cannot_be_judged():
    boxes = rows((0, 0, 10, 10))
    proposals = rows(
        (0, 0, 10, 5),  # IoU 0.5: covers
        (0, 0, 10, 4.9),  # does not
        (40, 40, 60, 60),  # half of it lies in the region: left out
        (39, 40, 60, 60),  # a little less than half: counted
        (0, 0, 10, 10),
    )
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5], dtype=np.float32)
    coverage = measure_coverage([Proposals(proposals, scores)], [annotated(boxes, rows((50, 0, 100, 100)))])
    assert coverage.covered.tolist() == [True, False, False, True]
    assert coverage.scores.tolist() == scores[[0, 1, 3, 4]].tolist()
    assert coverage.ranks.tolist() == [0, 1, 3, 4]
    assert coverage.top(2).covered.tolist() == [True, False]


def test_a_proposal_that_covers_an_object_counts_even_in_a_region_to_ignore():
    box = rows((0, 0, 10, 10))
    coverage = measure_coverage([Proposals(box, np.ones(1, np.float32))], [annotated(box, rows((0, 0, 50, 50)))])
    assert coverage.covered.tolist() == [True]


def test_pictures_without_boxes_and_without_proposals():
    one = Proposals(rows((0, 0, 9, 9)), np.array([0.5], np.float32))
    none = Proposals(rows(), np.zeros(0, np.float32))
    coverage = measure_coverage([one, none, one], [annotated(rows(), rows())] * 3)
    assert coverage.covered.tolist() == [False, False]
    assert coverage.pictures.tolist() == [0, 2]
    assert len(measure_coverage([], [])) == 0
