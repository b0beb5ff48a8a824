import pytest

from service.pace import Pace


def test_nothing_measured_is_no_reason_to_refuse():
    assert Pace(lanes=2, batch=1).seconds_for(1000) == 0


def test_lanes_share_what_waits():
    pace = Pace(lanes=2, batch=1)
    pace.measured(0.5)
    assert pace.seconds_for(pace.batches(8)) == pytest.approx(2.0)


def test_a_batch_takes_several_at_once_however_few_were_in_the_one_measured():
    pace = Pace(lanes=1, batch=8)
    pace.measured(0.1)
    assert [pace.seconds_for(pace.batches(count)) for count in (1, 8, 9, 32)] == pytest.approx([0.1, 0.1, 0.2, 0.4])


def test_it_follows_a_change():
    pace = Pace(lanes=1, batch=1)
    pace.measured(10.0)
    for _ in range(60):
        pace.measured(1.0)
    assert pace.seconds_for(1) == pytest.approx(1.0, rel=0.05)
