"""The card of a checkpoint: the same facts as its metadata, for people, in Markdown."""

from typing import Any

from model.calibration import Calibration
from model.checkpoints.checkpoint import Checkpoint

_FEW_SECONDS = 90  # told as they are: "1 minutes" would say less
_HEADER = "| proposals | 1 | 10 | 100 | 300 | 1000 |\n|---|---|---|---|---|---|"


def write_card(checkpoint: Checkpoint, file_name: str, sha256: str, size: int) -> str:
    """The card's text, for a file of this name, SHA-256 and size in bytes."""
    parts = [
        f"# {checkpoint.name} {checkpoint.version}",
        _facts(checkpoint, file_name, sha256, size),
        "## Recall",
        _recall(checkpoint.metrics),
        "## Scores",
        _scores(checkpoint),
        "## Data",
        str(checkpoint.provenance.get("data", "Not stated.")),
        "## Training",
        _stages(checkpoint.provenance),
        "## Limits",
        str(checkpoint.provenance.get("limits", "Not stated.")),
    ]
    return "\n\n".join(parts) + "\n"


def _facts(checkpoint: Checkpoint, file_name: str, sha256: str, size: int) -> str:
    rows = {
        "file": f"`{file_name}`, {size / 1e6:.1f} MB",
        "SHA-256": f"`{sha256}`",
        "digest": f"`{checkpoint.digest}` (what `/propose` answers carry)",
        "architecture": f"`{checkpoint.config.architecture}`, {checkpoint.parameters / 1e6:.2f} million weights",
        "input": str(checkpoint.config.input),
        "NMS": f"{checkpoint.config.selection.nms_iou:g}, for callers who name none",
        "overlap penalty": str(checkpoint.config.selection.overlap_penalty or "none"),
    }
    return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items())


def _recall(metrics: dict[str, Any]) -> str:
    """One table a data set: average recall over IoU 0.5:0.95, all boxes and by their size."""
    tables = []
    for name, figures in metrics.items():
        rows = [f"Average recall (over IoU 0.5:0.95, unless an IoU is named) on {name}:\n", _HEADER]
        for size in ("all", "small", "medium", "large"):
            suffix = "" if size == "all" else f"/{size}"
            cells = [figures.get(f"AR@{b}{suffix}") for b in (1, 10, 100, 300, 1000)]
            rows.append(_row(size, cells))
        rows += [
            _row(f"recall at IoU {iou}", [figures.get(f"R@{b}/{iou}") for b in (1, 10, 100, 300, 1000)])
            for iou in ("0.5", "0.7")
        ]
        tables.append("\n".join(rows))
    return "\n\n".join(tables) or "Not measured."


def _row(name: str, cells: list[float | None]) -> str:
    return f"| {name} | " + " | ".join("-" if c is None else f"{c:.3f}" for c in cells) + " |"


def _scores(checkpoint: Checkpoint) -> str:
    """What a score means, the curve that makes it so, and how far it was off before and after."""
    calibration, selection = checkpoint.calibration, checkpoint.config.selection
    if calibration is None:
        return "Not calibrated: a score ranks proposals, and promises nothing."
    penalty = " after the overlap penalty" if selection.overlap_penalty else ""
    text = (
        "A score is the chance that the proposal covers an object (IoU of at least 0.5 with a box). With s the "
        f"network's own objectness{penalty}, its logit is (beta calibration, fitted on the pictures below)"
    )
    error = (
        "The expected calibration error, in 15 bins, each picture judged by a curve that was fitted without it "
        "(int8's proposals by one that was fitted to fp32's), for callers who name no NMS and for those who do:"
    )
    head = "| | all proposals, before | after | 100 highest of each picture, before | after |\n|---|---|---|---|---|"
    rows = [row for name, figures in checkpoint.metrics.items() for row in _error_rows(name, figures)]
    return "\n".join([text, "", _curves(calibration), "", error, "", head, *rows])


def _curves(calibration: Calibration) -> str:
    lines = [f"- {line}" for line in calibration.lines()]
    if len(lines) > 1:
        lines += ["", "Between two thresholds of NMS it is what lies between their curves."]
    return "\n".join(lines)


def _error_rows(name: str, figures: dict[str, Any]) -> list[str]:
    """One for the model's own NMS, then one for each other that was measured."""
    others = [figure.removeprefix("ECE") for figure in figures if figure.startswith("ECE/nms")]
    rows = []
    for nms in ("", *others):
        cells = [figures.get(f"{error}{nms}") for error in ("ECE/raw", "ECE", "ECE@100/raw", "ECE@100")]
        whose = f"NMS at {nms.removeprefix('/nms')}" if nms else name
        if None not in cells:
            rows.append(f"| {whose} | " + " | ".join(f"{cell:.4f}" for cell in cells) + " |")
    return rows


def _stages(provenance: dict[str, Any]) -> str:
    """The training runs in their order: the last one's provenance holds the one it started from, and so on."""
    stages: list[str] = []
    stage: dict[str, Any] | None = provenance
    while stage is not None:
        if imported := stage.get("imported"):
            stages.append(
                f"`rpn weights import`: {imported['network']}, SHA-256 `{imported['sha256']}`.{_averaged(stage)}"
            )
            break
        training = stage.get("training", {})
        recipe = training.get("recipe", {})
        stages.append(
            f"`{stage.get('command', 'rpn train')}`: {_epochs(training)}, "
            f"{training.get('steps_done', '?')} steps of {_pictures_a_step(training)} pictures, "
            f"{_rules(recipe)}learning rate {recipe.get('learning_rate', '?')}, seed {recipe.get('seed', '?')}, "
            f"{_duration(training)} of steps on {stage.get('hardware', '?')}, "
            f"torch {stage.get('torch', '?')}.{_averaged(stage)}"
        )
        stage = stage.get("started_from")
    lines = [
        f"{n}. {f'From the network of {n - 1}: ' if n > 1 else ''}{text}" for n, text in enumerate(stages[::-1], 1)
    ]
    if released := provenance.get("released_by"):
        lines.append(f"\nReleased by `{released}`.")
    return "\n".join(lines)


def _averaged(stage: dict[str, Any]) -> str:
    """What was done to a stage's weights when it was over."""
    if not (averaged := stage.get("averaged")):
        return ""
    return f" Then the mean of weights, `{stage.get('averaged_by', 'rpn weights average')}`: {_shares(averaged)}."


def _shares(averaged: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"{one['share']:.3g} of {one['name']} `{one['digest']}`"
        + (f" (itself the mean of {_shares(one['averaged'])})" if "averaged" in one else "")
        for one in averaged
    )


def _duration(training: dict[str, Any]) -> str:
    seconds = training.get("step_seconds", 0)
    return f"{seconds:.0f} seconds" if seconds < _FEW_SECONDS else f"{seconds / 60:.0f} minutes"


def _epochs(training: dict[str, Any]) -> str:
    """How many it was trained for, and of how many, where they are the best epoch's or the run was stopped."""
    done, planned = training.get("epochs_done", "?"), training.get("recipe", {}).get("epochs")
    if planned in (None, done):
        return f"{done} {'epoch' if done == 1 else 'epochs'}"
    return f"after {done} of {planned} epochs"


def _rules(recipe: dict[str, Any]) -> str:
    """Assignment and losses, where the recipe says so; the first checkpoints had no choice."""
    rules = recipe.get("rules")
    return f"{rules['assignment']} / {rules['objectness']} / {rules['box']}, " if rules else ""


def _pictures_a_step(training: dict[str, Any]) -> int | str:
    """A step takes several batches where gradients are accumulated or processes train together."""
    recipe = training.get("recipe", {})
    if "batch_size" not in recipe:
        return "?"
    return int(recipe["batch_size"]) * int(recipe.get("accumulate", 1)) * int(training.get("processes", 1))
