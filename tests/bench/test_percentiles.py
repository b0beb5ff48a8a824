import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.percentiles import percentile

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)
SHARES = st.floats(0.001, 1.0)


@given(VALUES, SHARES)
def test_it_is_a_value_that_so_many_do_not_pass_and_the_smallest(values: list[float], share: float):
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) / len(values) >= share - 1e-9
    assert sum(value < found for value in values) / len(values) < share


@given(VALUES, SHARES, SHARES)
def test_more_of_them_is_never_less(values: list[float], one: float, other: float):
    assert percentile(values, min(one, other)) <= percentile(values, max(one, other))


@given(VALUES, SHARES, st.randoms())
def test_order_does_not_matter(values: list[float], share: float, random):
    shuffled = values.copy()
    random.shuffle(shuffled)
    assert percentile(shuffled, share) == percentile(values, share)


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.1)])
def test_nothing_of_nothing(values: list[float], share: float):
    with pytest.raises(ValueError, match="no percentile"):
        percentile(values, share)
