import numpy as np

from model.evaluation.recall import Recall, RecallInput, measure_recall
from model.evaluation.recall_table import recall_table

BOX = np.array([[0, 0, 50, 50]], dtype=np.float32)
NONE = np.zeros((0, 4), dtype=np.float32)


def cells(recalls: dict[str, Recall]) -> list[list[str]]:
    return [line.split() for line in recall_table(recalls).splitlines()]


def test_one_alone_goes_unnamed_and_a_size_without_boxes_is_a_dash():
    head, *rows = cells({"alone": measure_recall([RecallInput(BOX, BOX)])})
    assert head == ["AR@1", "AR@10", "AR@100", "AR@300", "AR@1000", "boxes"]
    assert rows[0] == ["all", *["1.0000"] * 5, "1"]
    assert rows[1] == ["small", *["-"] * 5, "0"]
    assert rows[-1] == ["recall", "at", "IoU", "0.7", *["1.0000"] * 5]


def test_of_several_the_rows_of_one_measure_stand_together():
    found, missed = (measure_recall([RecallInput(proposals, BOX)]) for proposals in (BOX, NONE))
    text = recall_table({"mine": found, "other": missed})
    assert len({len(line) for line in text.splitlines()}) == 1, "the columns are aligned"
    _, first, second, *_ = cells({"mine": found, "other": missed})
    assert first == ["all", "mine", *["1.0000"] * 5, "1"]
    assert second == ["other", *["0.0000"] * 5, "1"]
