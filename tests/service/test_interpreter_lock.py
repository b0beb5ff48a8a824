"""How long a thread may keep Python's interpreter lock while others wait."""

import sys
from collections.abc import Iterator

import pytest

from service.interpreter_lock import pass_it_on_sooner


@pytest.fixture
def as_before() -> Iterator[float]:
    before = sys.getswitchinterval()
    yield before
    sys.setswitchinterval(before)


def test_it_is_passed_on_sooner_than_python_would(as_before: float):
    pass_it_on_sooner()
    assert 0.00005 < sys.getswitchinterval() < as_before / 10
