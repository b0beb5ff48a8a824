"""The two losses as curves, each point computed by the code that trains."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from how_it_works.sheet import BLUE, GREY, ORANGE
from model.evaluation.report.chart import HEIGHT, WIDTH, Axis, Chart, Line
from model.network.anchors import LevelAnchors
from model.network.rpn import ScoredAnchors
from model.training.dataset import Batch
from model.training.losses import Losses, rpn_losses
from model.training.rules import CLASSIC_RULES

_ANCHOR = (100.0, 100.0, 200.0, 200.0)
_FAR = (300.0, 300.0, 350.0, 350.0)


def loss_curves() -> str:
    """Two charts side by side as one SVG, on white so that they read on a dark page."""
    charts = "".join(
        f'<svg x="{x}" width="{WIDTH}" height="{HEIGHT}">{chart.svg()}</svg>'
        for x, chart in ((0, _objectness_chart()), (WIDTH, _box_chart()))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" font-family="sans-serif">'
        f'<rect width="100%" height="100%" fill="white"/>{charts}</svg>\n'
    )


def one_anchor_losses(*, logit: float = 0.0, error: float = 0.0, box: tuple[float, ...] = _ANCHOR) -> Losses:
    """The losses of a picture with one box and one anchor, whose delta is off by ``error`` in dx."""
    anchors = LevelAnchors(torch.tensor([_ANCHOR]), torch.tensor([[150.0, 150.0]]))
    scored = ScoredAnchors([torch.tensor([[logit]])], [torch.tensor([[[error, 0.0, 0.0, 0.0]]])], [anchors])
    batch = Batch(
        pixels=torch.zeros(1, 400, 400, 3, dtype=torch.uint8),
        contents=torch.tensor([[400.0, 400.0]]),
        boxes=torch.tensor([[box]]),
        counts=torch.tensor([1]),
        ignored=torch.zeros(1, 0, 4),
    )
    return rpn_losses(scored, batch, CLASSIC_RULES)


def objectness_loss(score: float, *, foreground: bool) -> float:
    """The binary cross-entropy of one anchor of this objectness."""
    logit = float(torch.logit(torch.tensor(score, dtype=torch.float64)))
    return float(one_anchor_losses(logit=logit, box=_ANCHOR if foreground else _FAR).objectness)


def box_loss(error: float) -> float:
    """Smooth L1 of one foreground anchor with this error in one of its four numbers."""
    return float(one_anchor_losses(error=error).box)


def _objectness_chart() -> Chart:
    scores = np.linspace(0.01, 0.99, 99).tolist()
    lines = [
        _line("foreground anchor", partial(objectness_loss, foreground=True), scores, BLUE),
        _line("background anchor", partial(objectness_loss, foreground=False), scores, ORANGE),
    ]
    x = Axis("objectness", 0, 1, ticks=(0, 0.25, 0.5, 0.75, 1))
    return Chart("Binary cross-entropy on the objectness", x, Axis("binary cross-entropy", 0, 5), lines)


def _box_chart() -> Chart:
    errors = np.linspace(-1, 1, 101).tolist()
    lines = [
        _line("smooth L1", box_loss, errors, BLUE),
        Line("L1", [(-1, 1), (0, 0), (1, 1)], GREY, dashed=True),
    ]
    x = Axis("error of a delta", -1, 1, ticks=(-1, -0.5, 0, 0.5, 1))
    return Chart("Smooth L1 on the deltas", x, Axis("loss of one number", 0, 1), lines)


def _line(name: str, loss: Callable[[float], float], places: list[float], colour: str) -> Line:
    return Line(name, [(place, loss(place)) for place in places], colour)
