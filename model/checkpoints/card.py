"""The card of a checkpoint: the same facts as its metadata, for people, in Markdown."""

from typing import Any

from model.checkpoints.checkpoint import Checkpoint

_HEADER = "| | AR@1 | AR@10 | AR@100 | AR@300 | AR@1000 |\n|---|---|---|---|---|---|"


def write_card(checkpoint: Checkpoint, file_name: str, sha256: str, size: int) -> str:
    """The card's text, for a file of this name, SHA-256 and size in bytes."""
    parts = [
        f"# {checkpoint.name} {checkpoint.version}",
        _facts(checkpoint, file_name, sha256, size),
        "## Recall",
        _recall(checkpoint.metrics),
        "## Data",
        str(checkpoint.provenance.get("data", "Not stated.")),
        "## Training",
        _stages(checkpoint.provenance),
        "## Limits",
        str(checkpoint.provenance.get("limits", "Not stated.")),
    ]
    return "\n\n".join(parts) + "\n"


def _facts(checkpoint: Checkpoint, file_name: str, sha256: str, size: int) -> str:
    parameters = sum(
        t.numel() for n, t in checkpoint.state_dict.items() if "running_" not in n and t.is_floating_point()
    )
    rows = {
        "file": f"`{file_name}`, {size / 1e6:.1f} MB",
        "SHA-256": f"`{sha256}`",
        "digest": f"`{checkpoint.digest}` (what `/propose` answers carry)",
        "architecture": f"`{checkpoint.config.architecture}`, {parameters / 1e6:.2f} million weights",
        "input": str(checkpoint.config.input),
    }
    return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items())


def _recall(metrics: dict[str, Any]) -> str:
    """One table a data set: average recall over IoU 0.5:0.95, all boxes and by their size."""
    tables = []
    for name, figures in metrics.items():
        rows = [f"Average recall over IoU 0.5:0.95 on {name}:\n", _HEADER]
        for size in ("all", "small", "medium", "large"):
            suffix = "" if size == "all" else f"/{size}"
            cells = [figures.get(f"AR@{b}{suffix}") for b in (1, 10, 100, 300, 1000)]
            rows.append(f"| {size} | " + " | ".join("-" if c is None else f"{c:.3f}" for c in cells) + " |")
        tables.append("\n".join(rows))
    return "\n\n".join(tables) or "Not measured."


def _stages(provenance: dict[str, Any]) -> str:
    """The training runs in their order: the last one's provenance holds the one it started from, and so on."""
    stages: list[str] = []
    stage: dict[str, Any] | None = provenance
    while stage is not None:
        training = stage.get("training", {})
        recipe = training.get("recipe", {})
        stages.append(
            f"`{stage.get('command', 'rpn train')}`: {training.get('epochs_done', '?')} epochs, "
            f"{training.get('steps_done', '?')} steps of {recipe.get('batch_size', '?')} pictures, "
            f"learning rate {recipe.get('learning_rate', '?')}, seed {recipe.get('seed', '?')}, "
            f"{training.get('step_seconds', 0) / 60:.0f} minutes of steps on {stage.get('hardware', '?')}, "
            f"torch {stage.get('torch', '?')}."
        )
        stage = stage.get("started_from")
    return "\n".join(f"{number}. {text}" for number, text in enumerate(reversed(stages), 1))
