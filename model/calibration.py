"""From objectness to the chance that a proposal covers an object: rising curves, so the ranking never changes.

Beta calibration (Kull, Silva Filho and Flach 2017): the logit of the chance is ``rise_low * ln(s) - rise_high *
ln(1 - s) + offset`` for a score s. With both rises alike it is Platt's logistic curve. It has no flat steps as isotonic
regression has, which would give many proposals one score.

An overlap penalty mixes first guesses with second ones of a higher chance, and then the chance rises, hardly rises,
and rises again, which three numbers cannot say. So the logit may also rise by so much for each unit of the score's own
logit between two of its values, for several ``bands``.

A strict NMS drops second guesses, which of all that have their score are the likeliest to cover an object. So the
chance of what is left depends on the threshold, and there is a curve for each of several.
"""

import math
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from model.errors import ConfigError
from model.structures import FloatArray

if TYPE_CHECKING:  # a service that computes without torch does not import it
    import torch
    from torch import Tensor

# Scores nearer to 0 or 1 count as this: float32 cannot tell 1 - 6e-8 from 1.
SCORE_MARGIN = 1e-7


@dataclass(frozen=True, slots=True)
class Curve:
    """The logit of a chance by the score; `model.evaluation.calibration` fits it.

    Raises:
        ConfigError: it would not rise everywhere, or is not finite.
    """

    rise_low: float
    rise_high: float
    offset: float
    bands: tuple[tuple[float, float, float], ...] = ()  # (from, to, rise)

    def __post_init__(self) -> None:
        for name in ("rise_low", "rise_high", "offset"):
            if not math.isfinite(value := getattr(self, name)):
                raise ConfigError(f"calibration: {name} must be finite, not {value}")
        if min(self.rise_low, self.rise_high) < 0 or self.rise_low + self.rise_high == 0:
            raise ConfigError(
                "calibration: must rise: rise_low and rise_high not negative and one of them positive, not "
                f"{self.rise_low} and {self.rise_high}"
            )
        for band in self.bands:
            low, high, rise = band
            if not (all(map(math.isfinite, band)) and low < high and rise >= 0):
                raise ConfigError(
                    f"calibration: a band must go from a lower to a higher finite logit, and not fall, unlike {band}"
                )

    def __str__(self) -> str:
        """The logit of the chance, with s the network's own score."""
        text = f"{self.rise_low:.4f} ln s - {self.rise_high:.4f} ln(1 - s) {self.offset:+.4f}"
        if not self.bands:
            return text
        bands = ", ".join(f"{rise:.4f} from {low:g} to {high:g}" for low, high, rise in self.bands)
        return f"{text}, and for each unit of the logit of s {bands}"

    def logits(self, scores: FloatArray) -> FloatArray:
        """For objectness in [0, 1], of any shape; float32."""
        inside = np.clip(scores, np.float32(SCORE_MARGIN), np.float32(1 - SCORE_MARGIN))
        below, above = np.log(inside), np.log1p(-inside)
        logits = self.rise_low * below - self.rise_high * above + self.offset
        for low, high, rise in self.bands:
            logits += rise * (np.clip(below - above, low, high) - low)
        return logits.astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A curve for each of the rising ``nms_ious``, or one for all; a checkpoint stores it, selection applies it.

    Between two thresholds lies what is between their curves' logits, and beyond the outermost their own.

    Raises:
        ConfigError: curves and thresholds do not belong together.
    """

    curves: tuple[Curve, ...]
    nms_ious: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.curves or len(self.curves) != max(1, len(self.nms_ious)):
            raise ConfigError(f"calibration: {len(self.curves)} curves for {len(self.nms_ious)} thresholds of NMS")
        if list(self.nms_ious) != sorted({iou for iou in self.nms_ious if 0 <= iou <= 1}):
            raise ConfigError(f"calibration: nms_ious must rise and lie in [0, 1], not {self.nms_ious}")

    def __str__(self) -> str:
        return "; ".join(self.lines())

    def lines(self) -> list[str]:
        """Each curve, with the threshold that it is for."""
        if not self.nms_ious:
            return [str(self.curves[0])]
        return [f"after NMS at {iou:g}: {curve}" for iou, curve in zip(self.nms_ious, self.curves, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint's document; one curve alone as it was written before there could be several."""
        return asdict(self) if self.nms_ious else asdict(self.curves[0])

    def __call__(self, scores: "Tensor", nms_ious: "Tensor") -> "Tensor":
        """Chances in [0, 1] for objectness (S, K) that is left by an NMS at each set's threshold, float32 (S,)."""
        table = _table(self, scores.device)
        inside = scores.clamp(SCORE_MARGIN, 1 - SCORE_MARGIN)
        below, above = inside.log(), (-inside).log1p()
        # Mixed curves have mixed coefficients: one set of them for each set of scores.
        coefficients = (table.shares(nms_ious)[:, :, None] * table.coefficients).sum(dim=1)
        low, high, offset = (column[:, None] for column in coefficients[:, :3].unbind(dim=1))
        risen = (below - above)[..., None].clamp(table.lows, table.highs) - table.lows  # (S, K, bands)
        logits = low * below - high * above + offset + (risen * coefficients[:, None, 3:]).sum(dim=2)
        return logits.sigmoid()

    def on_host(self, scores: FloatArray, nms_iou: float) -> FloatArray:
        """The same in NumPy for the scores of one picture, of any shape."""
        shares = zip(self.curves, self._shares(nms_iou), strict=True)
        first, *others = [share * curve.logits(scores) for curve, share in shares if share]
        chances: FloatArray = np.reciprocal(1 + np.exp(-sum(others, first)))
        return chances

    def _shares(self, nms_iou: float) -> list[float]:
        """What each curve counts for at a threshold: one or two of them something."""
        if not self.nms_ious:
            return [1.0]
        shares = [0.0] * len(self.curves)
        place = min(max(nms_iou, self.nms_ious[0]), self.nms_ious[-1])
        above = next(n for n, iou in enumerate(self.nms_ious) if iou >= place)
        shares[above] = 1.0
        if above > 0:
            low, high = self.nms_ious[above - 1], self.nms_ious[above]
            shares[above] = (place - low) / (high - low)
            shares[above - 1] = 1 - shares[above]
        return shares


@dataclass(frozen=True, slots=True)
class _Table:
    """A calibration as tensors of a device, so that all its curves and bands are a few operations together.

    ``coefficients``: (curves, 3 + bands), of each curve both rises, the offset and what each band rises, of all bands
    of any curve, between ``lows`` and ``highs`` (bands,); ``ious``: (curves,), the thresholds, or one alone.
    """

    coefficients: "Tensor"
    lows: "Tensor"
    highs: "Tensor"
    ious: "Tensor"

    def shares(self, nms_ious: "Tensor") -> "Tensor":
        """What each curve counts for at each threshold (S,): (S, curves)."""
        from torch.nn.functional import pad

        low, high = self.ious[:-1], self.ious[1:]
        passed = ((nms_ious[:, None] - low) / (high - low)).clamp(0, 1)
        return pad(passed, (1, 0), value=1.0) - pad(passed, (0, 1))


@cache
def _table(calibration: Calibration, device: "torch.device") -> _Table:
    """Made once for a device: what is copied there may not be copied within a CUDA graph."""
    import torch

    bands = list(dict.fromkeys((low, high) for curve in calibration.curves for low, high, _ in curve.bands))
    rows = []
    for curve in calibration.curves:
        rises = dict.fromkeys(bands, 0.0)
        for low, high, rise in curve.bands:
            rises[low, high] += rise
        rows.append((curve.rise_low, curve.rise_high, curve.offset, *rises.values()))
    lows, highs = ([band[end] for band in bands] for end in (0, 1))
    parts = [np.array(part, dtype=np.float32) for part in (rows, lows, highs, calibration.nms_ious or (0.0,))]
    values = torch.from_numpy(np.concatenate([part.ravel() for part in parts])).to(device)
    coefficients, *others = torch.split(values, [part.size for part in parts])
    return _Table(coefficients.view(parts[0].shape), *others)
