"""The report on one evaluation, from headline to the weights' provenance."""

import json
import math
import re
from collections.abc import Sequence

from model.evaluation.contender import Contender
from model.evaluation.coverage import COVERING_IOU
from model.evaluation.findings import Findings
from model.evaluation.recall import BUDGETS, SIZES
from model.evaluation.reliability import TOP, error_figures
from model.evaluation.report.chart import Chart
from model.evaluation.report.curves import picture_histogram, recall_curves, reliability_curves, training_curves
from model.evaluation.report.exhibit import BUDGET, Exhibit, choose_extremes, judge_pictures
from model.evaluation.report.gallery import DRAWN, FOUND, IGNORED, MISSED, PROPOSED, data_uri, draw_exhibit
from model.evaluation.report.page import (
    charts,
    colour_key,
    facts,
    figure,
    folded,
    gallery,
    heading,
    page,
    paragraph,
    shown,
    table,
    tiles,
)
from model.evaluation.report.side_by_side import side_by_side
from model.evaluation.training_log import TrainingLog

_EXHIBITS = 6


def write_report(findings: Findings, log: TrainingLog | None = None, contenders: Sequence[Contender] = ()) -> str:
    """The report as one HTML document, its charts and pictures inside it.

    ``contenders``: what else was measured on the same pictures, the checkpoint of the findings first.

    Raises:
        DataError: a picture of the gallery cannot be read.
    """
    checkpoint = findings.checkpoint
    name = f"{checkpoint.name} {checkpoint.version}"
    return page(
        f"{name} on {findings.data}",
        [
            heading(name, 1),
            _lead(findings),
            _headline(findings),
            *_recall(findings),
            *side_by_side(contenders, [picture.boxes for picture in findings.pictures]),
            *_scores(findings),
            *([] if log is None else _training(log)),
            *_gallery(findings),
            *_model(findings),
        ],
    )


def _lead(findings: Findings) -> str:
    boxes = findings.recall.counts["all"]
    ignored = sum(len(picture.ignored) for picture in findings.pictures)
    text = f"Measured on {findings.data}: {len(findings.pictures):,} pictures, {boxes:,} objects"
    text += f", {ignored:,} regions to ignore" if ignored else ""
    return paragraph(f"{text}; {findings.conditions}.", "lead")


def _headline(findings: Findings) -> str:
    recall = findings.recall
    values = {f"AR@{n}, mean of IoU 0.5 to 0.95": recall.average(n) for n in (10, 100, 1000)}
    values |= {f"recall at IoU 0.5, {n} proposals": recall.at(0.5, n) for n in (100, 1000)}
    shares = {name: shown(value) for name, value in values.items()}
    return tiles(
        shares | {"expected calibration error of the scores": shown(findings.figures().get("ECE", math.nan), 4)}
    )


def _recall(findings: Findings) -> list[str]:
    recall = findings.recall
    rows = [
        [f"AR, {size}", *(shown(recall.average(n, size)) for n in BUDGETS), f"{recall.counts[size]:,}"]
        for size in SIZES
        if recall.counts[size]
    ]
    rows += [[f"recall at IoU {iou}", *(shown(recall.at(iou, n)) for n in BUDGETS), ""] for iou in (0.5, 0.7)]
    return [
        heading("Recall"),
        paragraph(
            "The share of all objects that are found by a picture's N highest proposals, each proposal finding at most "
            "one. What counts as found depends on the overlap (IoU) that is asked for; average recall (AR) is the mean "
            "over IoU 0.5 to 0.95. Small is up to 32x32 pixels of the picture, large from 96x96 on, as in COCO."
        ),
        _cards([*recall_curves(findings), picture_histogram(judge_pictures(findings))]),
        table(["", *(f"N = {n:,}" for n in BUDGETS), "objects"], rows),
    ]


def _scores(findings: Findings) -> list[str]:
    if not len(findings.coverage):
        return []
    figures = error_figures(findings.coverage, findings.expected())
    after = "calibrated, as served" if findings.is_calibrated else "if it were calibrated on these pictures"
    rows = [
        [name, *(shown(figures.get(f"{error}{raw}", math.nan), 4) for error in ("ECE", f"ECE@{TOP}"))]
        for name, raw in (("the network's own", "/raw"), (after, ""))
    ]
    return [
        heading("What a score means"),
        paragraph(
            f"Of all proposals of one score, the share that covers an object (IoU of at least {COVERING_IOU}); a "
            "perfect score is that share. Proposals in regions to ignore are left out. " + _calibration_note(findings)
        ),
        _cards(reliability_curves(findings)),
        table(["expected calibration error", "all proposals", f"{TOP} highest of each picture"], rows),
    ]


def _calibration_note(findings: Findings) -> str:
    if findings.is_calibrated:
        return (
            "The calibration is the checkpoint's own; if it was fitted on these pictures, it flatters itself a little."
        )
    return (
        "This checkpoint is not calibrated, and serves the network's own scores. The blue line is what a calibration "
        "would make of them, each picture judged by a curve that was fitted on the others."
    )


def _training(log: TrainingLog) -> list[str]:
    drawn = training_curves(log)
    return [heading("Training"), _cards(drawn)] if drawn else []


def _cards(drawn: list[Chart]) -> str:
    return charts((chart.title, chart.svg()) for chart in drawn)


def _gallery(findings: Findings) -> list[str]:
    best, worst = choose_extremes(judge_pictures(findings), _EXHIBITS)
    if not best:
        return []
    key = {
        FOUND: f"object, found by one of the {BUDGET} highest proposals (IoU 0.5)",
        MISSED: "object, missed",
        PROPOSED: f"the {DRAWN} highest proposals",
        IGNORED: "a region to ignore: what is proposed in it counts neither for nor against",
    }
    return [
        heading("The best and the worst pictures"),
        paragraph(f"By average recall within {BUDGET} proposals; of equals, the one with more objects first."),
        colour_key(key),
        *([heading("Worst", 3), _wall(findings, worst)] if worst else []),
        heading("Best", 3),
        _wall(findings, best),
    ]


def _wall(findings: Findings, exhibits: list[Exhibit]) -> str:
    return gallery(
        figure(
            data_uri(draw_exhibit(findings, exhibit)),
            findings.pictures[exhibit.index].path.name,
            f"{exhibit.found.sum()} of {len(exhibit.found)} objects found, AR@{BUDGET} {exhibit.recall:.2f}",
        )
        for exhibit in exhibits
    )


def _model(findings: Findings) -> list[str]:
    checkpoint = findings.checkpoint
    tensors = checkpoint.state_dict.items()
    weights = sum(t.numel() for name, t in tensors if t.is_floating_point() and "running_" not in name)
    calibration = checkpoint.calibration
    rows = {
        "model": f"{checkpoint.name} {checkpoint.version}",
        "digest": checkpoint.digest,
        "architecture": f"{checkpoint.config.architecture}, {weights / 1e6:.2f} million weights",
        "input": str(checkpoint.config.input),
        "calibration": "none" if calibration is None else str(calibration),
    }
    rows |= {n: _without_pictures(v) for n, v in checkpoint.provenance.items() if isinstance(v, str | int | float)}
    return [
        heading("The model"),
        facts(rows),
        folded("Configuration", json.dumps(checkpoint.config.to_dict(), indent=2)),
        folded("Provenance", json.dumps(checkpoint.provenance, indent=2)),
        folded("All figures", "\n".join(f"{name}  {shown(v, 4)}" for name, v in findings.figures().items())),
    ]


def _without_pictures(text: object) -> str:
    """A card's text without what it shows: its pictures lie beside the card, and the report is one file."""
    return re.sub(r"\n*!\[[^]]*\]\([^)]*\)\n*(\*[^*]+\*)?", "\n\n", str(text)).strip()
