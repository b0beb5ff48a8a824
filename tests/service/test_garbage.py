"""What is loaded is walked through once, and what becomes garbage after that is still found."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from service.garbage import spare_what_is_loaded


class Ring:
    """Refers to itself, so that only the collector can find it."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("thawed")
def test_what_there_is_is_spared_and_what_comes_is_not():
    before, kept = weakref.ref(Ring()), Ring()
    spare_what_is_loaded()
    assert before() is None, "garbage is not kept for good"
    assert gc.get_freeze_count() > 10_000
    assert not any(found is kept for found in gc.get_objects())
    after = weakref.ref(Ring())
    gc.collect()
    assert after() is None
