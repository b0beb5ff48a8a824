"""The report's section on several methods that were measured on the same pictures."""

from collections.abc import Callable, Mapping, Sequence

from model.evaluation.contender import Contender
from model.evaluation.recall import BUDGETS, THRESHOLDS, Recall, RecallInput, measure_recall
from model.evaluation.recall_table import recall_table
from model.evaluation.report.chart import Axis, Chart, Line
from model.evaluation.report.curves import CURVE_BUDGETS, SHARE, iou_axis, number_axis
from model.evaluation.report.page import charts, folded, heading, paragraph, shown, table
from model.structures import FloatArray

# Hues that all readers tell apart (Okabe and Ito 2008), the two that are too pale for a line on white left out.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00")
# The budget of the columns that are not about budgets: what most users of proposals ask for.
_BUDGET = 100
_Value = Callable[[Recall, int], float]


def side_by_side(contenders: Sequence[Contender], boxes: Sequence[FloatArray]) -> list[str]:
    """The section as HTML, nothing where there is nothing to compare.

    ``boxes``: the annotated boxes of each picture, float32 (G, 4) ``xyxy``.
    """
    if len(contenders) < 2:
        return []
    measured = [f"{c.name}: {c.conditions}" for c in contenders if c.conditions]
    return [
        heading("Side by side"),
        paragraph(
            "The same pictures and the same measure for each method. Checkpoints are drawn as solid lines, methods "
            "without learning as dashed ones. The seconds are those of the wall clock from a picture's file to its "
            "boxes, on the machine that made this report."
        ),
        *([paragraph(f"{'; '.join(measured)}.")] if measured else []),
        charts((chart.title, chart.svg()) for chart in _curves(contenders, boxes)),
        table(_head(), [_row(contender) for contender in contenders]),
        folded("All sizes, all numbers of proposals", recall_table({c.name: c.recall for c in contenders})),
    ]


def _head() -> list[str]:
    sizes = [f"AR@{_BUDGET} {size}" for size in ("small", "medium", "large")]
    overlaps = [f"R@{_BUDGET} IoU\u00a0{iou}" for iou in (0.5, 0.7)]  # a line's end is no place to part the two
    return ["", *(f"AR@{n}" for n in BUDGETS), *sizes, *overlaps, "seconds a\u00a0picture"]


def _row(contender: Contender) -> list[str]:
    recall = contender.recall
    figures = [recall.average(n) for n in BUDGETS]
    figures += [recall.average(_BUDGET, size) for size in ("small", "medium", "large")]
    figures += [recall.at(iou, _BUDGET) for iou in (0.5, 0.7)]
    return [contender.name, *map(shown, figures), f"{contender.seconds:.3g}"]


def _curves(contenders: Sequence[Contender], boxes: Sequence[FloatArray]) -> list[Chart]:
    """The paper's two figures, each asked for loosely and strictly."""
    recalls = {
        c.name: measure_recall([RecallInput(*pair) for pair in zip(c.boxes, boxes, strict=True)], CURVE_BUDGETS)
        for c in contenders
    }
    learned = {c.name: c.is_learned for c in contenders}
    return [
        _against_number("average recall", recalls, learned, lambda recall, n: recall.average(n)),
        _against_number("recall at IoU 0.5", recalls, learned, lambda recall, n: recall.at(0.5, n)),
        *(_against_iou(n, recalls, learned) for n in (_BUDGET, max(BUDGETS))),
    ]


def _against_number(name: str, recalls: Mapping[str, Recall], learned: Mapping[str, bool], value: _Value) -> Chart:
    points = {method: [(n, value(recall, n)) for n in CURVE_BUDGETS] for method, recall in recalls.items()}
    title = f"{name[0].upper()}{name[1:]} against the number of proposals"
    return Chart(title, number_axis(), Axis(name, 0, 1, ticks=SHARE), _lines(points, learned))


def _against_iou(budget: int, recalls: Mapping[str, Recall], learned: Mapping[str, bool]) -> Chart:
    points = {
        method: list(zip(THRESHOLDS, recall.values["all"][budget].tolist(), strict=True))
        for method, recall in recalls.items()
    }
    title = f"Recall against IoU, {budget:,} proposals a picture"
    return Chart(title, iou_axis(), Axis("recall", 0, 1, ticks=SHARE), _lines(points, learned))


def _lines(points: Mapping[str, Sequence[tuple[float, float]]], learned: Mapping[str, bool]) -> list[Line]:
    return [
        Line(name, row, _COLOURS[i % len(_COLOURS)], dashed=not learned[name])
        for i, (name, row) in enumerate(points.items())
    ]
