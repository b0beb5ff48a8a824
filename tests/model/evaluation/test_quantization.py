import numpy as np
import pytest

from model.evaluation.quantization import loss
from model.evaluation.recall import THRESHOLDS, Recall


def recall(at_100: float, at_1000: float) -> Recall:
    """With this average recall at a hundred and at a thousand proposals."""
    values = {budget: np.full(len(THRESHOLDS), average) for budget, average in ((100, at_100), (1000, at_1000))}
    return Recall({"all": values}, {"all": 1})


@pytest.mark.parametrize(
    ("integers", "lost"),
    [((0.45, 0.55), 0.0), ((0.44, 0.55), 0.01), ((0.46, 0.53), 0.02), ((0.46, 0.56), -0.01)],
    ids=["equal", "at 100", "at 1000", "gained"],
)
def test_what_is_lost_is_what_falls_further(integers: tuple[float, float], lost: float):
    assert loss(recall(0.45, 0.55), recall(*integers)) == pytest.approx(lost)
