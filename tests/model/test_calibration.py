import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.calibration import Calibration, Curve
from model.errors import ConfigError


def test_by_hand():
    scores = np.array([0.2, 0.5, 0.9], dtype=np.float32)
    np.testing.assert_allclose(1 / (1 + np.exp(-Curve(1.0, 1.0, 0.0).logits(scores))), scores, rtol=1e-6)
    # logit = 2 ln 0.5 - 3 ln 0.5 + 1 = ln 2 + 1
    chance = 1 / (1 + math.exp(-math.log(2) - 1))
    assert 1 / (1 + math.exp(-Curve(2.0, 3.0, 1.0).logits(np.float32([0.5])).item())) == pytest.approx(chance)


@given(st.floats(0.1, 4), st.floats(0, 4), st.floats(-5, 5))
def test_it_rises_within_0_and_1_and_ends_finite(low: float, high: float, offset: float):
    scores = torch.linspace(0, 1, 1001)
    bands = ((-16.0, -2.0, low), (-2.0, 3.0, high))
    curves = (Curve(low, high, offset), Curve(high, low, offset), Curve(low, high, offset, bands))
    several = Calibration(curves, (0.5, 0.7, 0.9))
    for calibration, iou in (*((Calibration((curve,)), 0.7) for curve in curves), (several, 0.65), (several, 1.0)):
        chances = calibration(scores[None], torch.tensor([iou]))[0]
        assert chances.isfinite().all()
        assert ((chances >= 0) & (chances <= 1)).all()
        assert (chances.diff() >= -1e-6).all()
        np.testing.assert_allclose(calibration.on_host(scores.numpy(), iou), chances.numpy(), rtol=1e-5, atol=1e-7)


def test_each_nms_has_its_curve_and_what_is_between_two_lies_between_their_logits():
    scores = np.array([0.1, 0.5, 0.8], dtype=np.float32)
    curves = (Curve(1.0, 1.0, -2.0), Curve(1.2, 0.7, -1.0), Curve(0.5, 0.5, 0.0))
    calibration = Calibration(curves, (0.5, 0.7, 0.9))
    for iou, curve in ((0.0, 0), (0.5, 0), (0.7, 1), (0.9, 2), (1.0, 2)):
        alone = Calibration((curves[curve],)).on_host(scores, 0.3)
        assert np.array_equal(calibration.on_host(scores, iou), alone)
    between = torch.from_numpy(calibration.on_host(scores, 0.55)).logit()
    low, high = (torch.from_numpy(curve.logits(scores)) for curve in curves[:2])
    torch.testing.assert_close(between, low * 0.75 + high * 0.25, rtol=1e-4, atol=1e-5)


def test_sets_of_one_batch_have_each_their_own_nms():
    scores = torch.rand(4, 30, generator=torch.Generator().manual_seed(0))
    calibration = Calibration((Curve(1.0, 1.0, -2.0), Curve(1.2, 0.7, -1.0)), (0.5, 0.9))
    ious = [0.3, 0.5, 0.77, 0.95]
    for row, iou, served in zip(scores, ious, calibration(scores, torch.tensor(ious)), strict=True):
        np.testing.assert_allclose(calibration.on_host(row.numpy(), iou), served.numpy(), rtol=1e-5)


def test_a_band_by_hand():
    curve = Curve(1.0, 1.0, 0.5, ((-1.0, 1.0, 2.0),))
    logits = np.array([-3.0, 0.0, 0.5, 4.0], dtype=np.float32)
    expected = logits + 0.5 + np.array([0.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(curve.logits(1 / (1 + np.exp(-logits))), expected, rtol=1e-5)
    assert str(curve).endswith("+0.5000, and for each unit of the logit of s 2.0000 from -1 to 1")


@pytest.mark.parametrize("band", [(1.0, 1.0, 1.0), (0.0, 1.0, -0.1), (0.0, 1.0, math.nan)])
def test_a_band_that_would_change_the_ranking_is_refused(band: tuple[float, float, float]):
    with pytest.raises(ConfigError, match=f"calibration: a band must .* unlike {re.escape(str(band))}"):
        Curve(1.0, 1.0, 0.0, (band,))


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ((-1.0, 1.0, 0.0), "must rise: .* not -1.0 and 1.0"),
        ((1.0, -0.1, 0.0), "must rise: .* not 1.0 and -0.1"),
        ((0.0, 0.0, 1.0), "must rise: .* not 0.0 and 0.0"),
        ((math.nan, 1.0, 0.0), "rise_low must be finite, not nan"),
        ((1.0, 1.0, math.inf), "offset must be finite, not inf"),
    ],
)
def test_what_would_change_the_ranking_is_refused(numbers: tuple[float, float, float], fault: str):
    with pytest.raises(ConfigError, match=f"calibration: {fault}"):
        Curve(*numbers)


@pytest.mark.parametrize(
    ("count", "ious", "fault"),
    [
        (0, (), "0 curves for 0 thresholds"),
        (2, (), "2 curves for 0 thresholds"),
        (2, (0.5,), "2 curves for 1 thresholds"),
        (2, (0.7, 0.5), r"nms_ious must rise and lie in \[0, 1\], not \(0.7, 0.5\)"),
        (2, (0.5, 1.5), "nms_ious must rise"),
        (1, (math.nan,), "nms_ious must rise"),
    ],
)
def test_curves_and_thresholds_belong_together(count: int, ious: tuple[float, ...], fault: str):
    with pytest.raises(ConfigError, match=f"calibration: {fault}"):
        Calibration((Curve(1.0, 1.0, 0.0),) * count, ious)
