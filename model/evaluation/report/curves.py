"""The report's charts: which figures are drawn against which."""

from collections.abc import Sequence

import numpy as np

from model.evaluation.findings import Findings
from model.evaluation.recall import BUDGETS, THRESHOLDS, Recall, RecallInput, measure_recall
from model.evaluation.reliability import Reliability, measure_reliability
from model.evaluation.report.chart import Axis, Bars, Chart, Line
from model.evaluation.report.exhibit import BUDGET, Exhibit
from model.evaluation.training_log import TrainingLog

# Between the budgets of the tables, so that recall against N is a curve.
CURVE_BUDGETS = (1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100, 200, 300, 500, 700, 1000)
# Of what comes in an order (budgets) the shades are too; of what does not, the hues tell all readers apart
# (Okabe and Ito 2008).
_SHADES = ("#9fd3c7", "#5fb3b3", "#2f8fa8", "#1f6491", "#1b3a6b")
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8a939c"
# The ticks of what lies between 0 and 1.
SHARE = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# A share of fewer proposals is chance, and would be drawn as if it were a finding.
_FEWEST = 30


def recall_curves(findings: Findings) -> list[Chart]:
    """Recall against IoU at several N, recall against N (the paper's figures 2 and 4), and against N by size."""
    pairs = zip(findings.proposals, findings.pictures, strict=True)
    recall = measure_recall([RecallInput(found.boxes, p.boxes) for found, p in pairs], CURVE_BUDGETS)
    return [_against_iou(recall), _against_number(recall), _by_size(recall)]


def _against_iou(recall: Recall) -> Chart:
    lines = [
        Line(f"N = {n}", list(zip(THRESHOLDS, recall.values["all"][n].tolist(), strict=True)), shade)
        for n, shade in zip(reversed(BUDGETS), reversed(_SHADES), strict=True)
    ]
    return Chart("Recall against IoU", iou_axis(), Axis("recall", 0, 1, ticks=SHARE), lines)


def _against_number(recall: Recall) -> Chart:
    def line(name: str, colour: str, values: Sequence[float]) -> Line:
        return Line(name, list(zip(CURVE_BUDGETS, values, strict=True)), colour)

    lines = [
        line("IoU 0.5", BLUE, [recall.at(0.5, n) for n in CURVE_BUDGETS]),
        line("IoU 0.7", ORANGE, [recall.at(0.7, n) for n in CURVE_BUDGETS]),
        line("mean of 0.5 to 0.95 (AR)", GREEN, [recall.average(n) for n in CURVE_BUDGETS]),
    ]
    return Chart("Recall against the number of proposals", number_axis(), Axis("recall", 0, 1, ticks=SHARE), lines)


def _by_size(recall: Recall) -> Chart:
    sizes = {"large": BLUE, "medium": GREEN, "small": ORANGE, "all": GREY}
    lines = [
        Line(size, [(n, recall.average(n, size)) for n in CURVE_BUDGETS], colour)
        for size, colour in sizes.items()
        if recall.counts[size]
    ]
    y = Axis("average recall", 0, 1, ticks=SHARE)
    return Chart("Average recall by the size of the object", number_axis(), y, lines)


def iou_axis() -> Axis:
    """The overlap that is asked for."""
    return Axis("IoU that counts as found", 0.5, 1.0, ticks=(0.5, 0.6, 0.7, 0.8, 0.9, 1.0))


def number_axis() -> Axis:
    """How many proposals a picture has, as the curves have it."""
    return Axis("proposals a picture (N)", CURVE_BUDGETS[0], CURVE_BUDGETS[-1], log=True)


def reliability_curves(findings: Findings) -> list[Chart]:
    """The share that covers an object against the score, before and after calibration; how many have which score."""
    covered = findings.coverage.covered
    before = measure_reliability(findings.coverage.scores, covered)
    after = measure_reliability(findings.expected(), covered)
    axis = Axis("score", 0, 1, ticks=SHARE)
    lines = [
        Line("perfect", [(0, 0), (1, 1)], GREY, dashed=True, marked=False),
        Line("the network's own", _points(before), ORANGE),
        Line("calibrated" if findings.is_calibrated else "if calibrated", _points(after), BLUE),
    ]
    y = Axis("measured share that covers an object", 0, 1, ticks=SHARE)
    return [Chart("Reliability of the scores", axis, y, lines), _histogram(after)]


def _points(reliability: Reliability) -> list[tuple[float, float]]:
    filled = reliability.counts >= _FEWEST
    return list(zip(reliability.scores[filled].tolist(), reliability.shares[filled].tolist(), strict=True))


def _histogram(reliability: Reliability) -> Chart:
    highest = max(10.0, float(reliability.counts.max()))
    y = Axis("proposals", 0.5, 10.0 ** np.ceil(np.log10(highest)), log=True)
    bars = Bars("proposals", _bars(reliability.counts.tolist()), BLUE)
    return Chart("How many proposals have which score", Axis("score", 0, 1, ticks=SHARE), y, bars=[bars])


def picture_histogram(exhibits: Sequence[Exhibit]) -> Chart:
    """How many pictures have which average recall."""
    counts, _ = np.histogram([e.recall for e in exhibits], bins=20, range=(0, 1))
    y = Axis("pictures", 0, max(5.0, 1.1 * float(counts.max())))
    bars = Bars("pictures", _bars(counts.tolist()), BLUE)
    return Chart("How the pictures did", Axis(f"AR@{BUDGET} of the picture", 0, 1, ticks=SHARE), y, bars=[bars])


def _bars(counts: Sequence[float]) -> list[tuple[float, float, float]]:
    """Bars of one width from 0 to 1."""
    return [(i / len(counts), (i + 1) / len(counts), count) for i, count in enumerate(counts)]


def training_curves(log: TrainingLog) -> list[Chart]:
    """The losses and the recall of the validation set against the epochs."""
    if not log.epochs:
        return []
    first, last = min(log.epochs), max(log.epochs)
    x = Axis("epoch", first, last if last > first else first + 1, ticks=_epoch_ticks(first, last))
    charts = []
    losses = {name: [v for v in values if v > 0 and np.isfinite(v)] for name, values in log.losses.items()}
    if positive := [v for values in losses.values() for v in values]:
        y = Axis("loss", min(positive) * 0.8, max(positive) * 1.25, log=True)
        charts.append(Chart("Losses on the training set", x, y, _coloured(log.losses, log.epochs)))
    recalls = {name: values for name in ("AR@1000", "AR@100", "AR@10") if (values := log.recalls.get(name))}
    if recalls:
        highest = max((v for values in recalls.values() for v in values if np.isfinite(v)), default=1.0)
        y = Axis("average recall", 0, max(0.1, highest * 1.1))
        charts.append(Chart("Recall on the validation set", x, y, _coloured(recalls, log.epochs)))
    return charts


def _coloured(columns: dict[str, list[float]], epochs: Sequence[float]) -> list[Line]:
    colours = (BLUE, ORANGE, GREEN, GREY)
    return [
        Line(name, list(zip(epochs, values, strict=True)), colours[i % len(colours)])
        for i, (name, values) in enumerate(columns.items())
    ]


def _epoch_ticks(first: float, last: float) -> tuple[float, ...]:
    step = max(1, round((last - first) / 8))
    return tuple(float(epoch) for epoch in range(round(first), round(last) + 1, step))
