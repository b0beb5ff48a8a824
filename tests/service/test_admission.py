import asyncio

import pytest

from service.admission import LONGEST_WAIT_S, Admission, refuse_in_vain
from service.errors import Overloaded

ROOM = 10**9


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def hold(admission: Admission, seconds: float, clock: Clock) -> None:
    with admission.admit():
        clock.now += seconds


def refusal(admission: Admission) -> Overloaded:
    with pytest.raises(Overloaded) as caught, admission.admit():
        pass
    return caught.value


def test_permits_are_given_back_whatever_happens():
    admission = Admission(1, ROOM)
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), admission.admit():
            raise error
    assert admission.held == 0


def test_none_free_is_refused():
    admission = Admission(2, ROOM)
    with admission.admit(), admission.admit():
        assert refusal(admission).status == 429
        assert admission.held == 2
    with admission.admit():
        assert admission.held == 1


def test_retry_after_is_what_the_backlog_takes_at_the_measured_rate():
    clock = Clock()
    admission = Admission(4, ROOM, clock)
    for _ in range(20):
        hold(admission, 2.0, clock)  # one request in two seconds
    with admission.admit(), admission.admit(), admission.admit(), admission.admit():
        assert refusal(admission).retry_after == 8


def test_idle_time_does_not_look_like_slowness():
    clock = Clock()
    admission = Admission(1, ROOM, clock)
    for _ in range(20):
        hold(admission, 0.1, clock)
        clock.now += 5.0
    with admission.admit():
        assert refusal(admission).retry_after == 1


@pytest.mark.parametrize(("seconds", "told"), [(0.001, "1"), (10_000.0, "60")])
def test_retry_after_is_a_whole_number_within_bounds(seconds, told):
    clock = Clock()
    admission = Admission(1, ROOM, clock)
    hold(admission, seconds, clock)
    with admission.admit():
        assert refusal(admission).headers == {"Retry-After": told}


def test_nothing_measured_yet_says_one_second():
    admission = Admission(1, ROOM)
    with admission.admit():
        assert refusal(admission).retry_after == 1


def test_bodies_share_a_room_until_their_permits_are_given_back():
    admission = Admission(3, 100)
    with admission.admit() as first:
        first.hold(60)
        with admission.admit() as second:
            second.hold(30)
            with pytest.raises(Overloaded):
                second.hold(11)
            second.hold(10)
            assert admission.held_bytes == 100
        assert admission.held_bytes == 60
        first.hold(40)
    assert admission.held_bytes == 0


def test_a_change_of_pace_is_followed_within_its_memory():
    clock = Clock()
    admission = Admission(4, ROOM, clock)
    for _ in range(100):
        hold(admission, 5.0, clock)
    for _ in range(100):
        hold(admission, 0.5, clock)
    with admission.admit(), admission.admit(), admission.admit(), admission.admit():
        assert refusal(admission).retry_after == 3  # two seconds and a little of the old pace; over all it would be 11


@pytest.mark.anyio
@pytest.mark.parametrize(("wait_s", "left_s", "told"), [(3.2, 3.0, 4), (500.0, 3.0, LONGEST_WAIT_S)])
async def test_who_would_wait_for_longer_than_he_can_is_told_when_to_come_again(wait_s, left_s, told):
    with pytest.raises(Overloaded) as refused:
        refuse_in_vain(wait_s, asyncio.get_running_loop().time() + left_s)
    assert refused.value.retry_after == told


@pytest.mark.anyio
@pytest.mark.parametrize(("wait_s", "left_s"), [(2.0, 3.0), (0.0, 3.0), (2.0, -1.0)])
async def test_who_can_wait_or_is_too_late_already_is_not(wait_s, left_s):
    """Whose deadline has passed is told that, by whoever waits for it."""
    refuse_in_vain(wait_s, asyncio.get_running_loop().time() + left_s)
