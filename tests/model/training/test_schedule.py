from typing import Any

import pytest

from model.errors import ConfigError
from model.training.recipe import Recipe
from model.training.schedule import Schedule


def test_rises_to_the_base_and_falls_to_nothing():
    rates = [Schedule(0.1, 10, 110)(step) for step in range(110)]
    assert max(rates) == rates[9] == 0.1
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 1e-4
    assert abs(rates[60] - 0.05) < 1e-9  # halfway down


def test_a_constant_one_rises_alike_and_stays():
    cosine, constant = Schedule(0.1, 10, 110), Schedule(0.1, 10, 110, "constant")
    assert [constant(step) for step in range(10)] == [cosine(step) for step in range(10)]
    assert {constant(step) for step in range(9, 110)} == {0.1}


@pytest.mark.parametrize("name", ["cosine", "constant"])
def test_without_a_warm_up_the_first_step_has_the_base(name: Any):
    assert Schedule(0.1, 0, 100, name)(0) == 0.1


def test_another_name_is_refused():
    wrong: Any = "linear"
    with pytest.raises(ConfigError, match="recipe: schedule 'linear' is none of cosine, constant"):
        Recipe(schedule=wrong)
