import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.calibration import Calibration
from model.errors import ConfigError


def test_by_hand():
    scores = torch.tensor([0.2, 0.5, 0.9])
    torch.testing.assert_close(Calibration(1.0, 1.0, 0.0)(scores), scores)
    # logit = 2 ln 0.5 - 3 ln 0.5 + 1 = ln 2 + 1
    chance = 1 / (1 + math.exp(-math.log(2) - 1))
    assert Calibration(2.0, 3.0, 1.0)(torch.tensor([0.5])).item() == pytest.approx(chance)


@given(st.floats(0.1, 4), st.floats(0, 4), st.floats(-5, 5))
def test_it_rises_within_0_and_1_and_ends_finite(low: float, high: float, offset: float):
    scores = torch.linspace(0, 1, 1001)
    bands = ((-16.0, -2.0, low), (-2.0, 3.0, high))
    for curve in (
        Calibration(low, high, offset),
        Calibration(high, low, offset),
        Calibration(low, high, offset, bands),
    ):
        chances = curve(scores)
        assert chances.isfinite().all()
        assert ((chances >= 0) & (chances <= 1)).all()
        assert (chances.diff() >= -1e-6).all()
        np.testing.assert_allclose(curve.on_host(scores.numpy()), chances.numpy(), rtol=1e-5, atol=1e-7)


def test_a_band_by_hand():
    curve = Calibration(1.0, 1.0, 0.5, ((-1.0, 1.0, 2.0),))
    logits = torch.tensor([-3.0, 0.0, 0.5, 4.0])
    expected = logits + 0.5 + torch.tensor([0.0, 2.0, 3.0, 4.0])
    torch.testing.assert_close(curve(logits.sigmoid()).logit(), expected)
    assert str(curve).endswith("+0.5000, and for each unit of the logit of s 2.0000 from -1 to 1")


@pytest.mark.parametrize("band", [(1.0, 1.0, 1.0), (0.0, 1.0, -0.1), (0.0, 1.0, math.nan)])
def test_a_band_that_would_change_the_ranking_is_refused(band: tuple[float, float, float]):
    with pytest.raises(ConfigError, match="calibration"):
        Calibration(1.0, 1.0, 0.0, (band,))


@pytest.mark.parametrize(
    "numbers", [(-1.0, 1.0, 0.0), (1.0, -0.1, 0.0), (0.0, 0.0, 1.0), (math.nan, 1.0, 0.0), (1.0, 1.0, math.inf)]
)
def test_what_would_change_the_ranking_is_refused(numbers: tuple[float, float, float]):
    with pytest.raises(ConfigError, match="calibration"):
        Calibration(*numbers)
