import pytest

from service.pace import Pace


def test_nothing_measured_is_no_reason_to_refuse():
    assert Pace(lanes=2).seconds_for(1000) == 0


def test_lanes_share_what_waits():
    pace = Pace(lanes=2)
    pace.measured(4.0, 8)
    assert pace.seconds_for(8) == pytest.approx(2.0)


def test_it_follows_a_change():
    pace = Pace(lanes=1)
    pace.measured(10.0, 1)
    for _ in range(60):
        pace.measured(1.0, 1)
    assert pace.seconds_for(1) == pytest.approx(1.0, rel=0.05)
