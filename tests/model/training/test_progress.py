import math

import pytest

from model.training.progress import Progress, SessionClock, Tally


def test_tallies_add_up_batch_by_batch():
    tally = Tally()
    tally.add(Tally(1, 4, 0.5, {"objectness": 0.25, "box": 1.0}))
    tally.add(Tally(1, 2, 1.0, {"objectness": 0.75, "box": 2.0}))
    assert tally.means == {"objectness": 0.5, "box": 1.5}
    assert tally.rate == 4.0
    assert Tally().rate == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_loss_that_is_not_finite_is_enough(value: float):
    assert not Tally(2, 8, 1.0, {"objectness": 0.5, "box": value}).is_finite


def test_progress_survives_its_plain_form():
    progress = Progress(epoch=1, batch=2, total=5, best=0.25, tally=Tally(2, 8, 1.0, {"box": 0.5}))
    SessionClock(progress).tick()
    again = Progress.from_dict(progress.to_dict())
    assert again == progress
    SessionClock(again)
    assert [session.from_step for session in again.sessions] == [5, 5]
