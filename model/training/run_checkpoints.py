"""The checkpoints that a run leaves in its folder: the last epoch's and the best one's."""

import math
from collections.abc import Mapping

from torch import Tensor

from model.checkpoints.checkpoint import Checkpoint, save_checkpoint
from model.training.progress import Progress
from model.training.run import Run
from model.training.run_folder import BEST_FILE, LAST_FILE


def run_checkpoint(
    run: Run, processes: int, progress: Progress, weights: Mapping[str, Tensor], figures: dict[str, float]
) -> Checkpoint:
    """The weights with what is known of how they came about, and the validation set's figures, if any."""
    values = progress.to_dict()
    training = {
        "objective": run.objective.describe(),
        "recipe": run.recipe.to_dict(),
        "processes": processes,
        "best_by": run.best_by,
        "epochs_done": progress.epoch,
        "steps_done": progress.total,
        "step_seconds": round(progress.seconds, 1),
        "resumed": len(progress.sessions) - 1,
        "sessions": values["sessions"],
    }
    return Checkpoint(
        name=run.name,
        version="0",
        config=run.config,
        state_dict=run.objective.proposal_weights(weights),
        provenance={**run.provenance, "training": training},
        metrics={"validation": figures} if figures else {},
    )


def keep(run: Run, progress: Progress, checkpoint: Checkpoint, weights: Mapping[str, Tensor]) -> None:
    """Save it as the last, and as the best where none was better; ``progress.best`` follows.

    ``weights``: all that the objective trains, of which the checkpoint has the part that proposes.
    """
    _save(run, checkpoint, weights, LAST_FILE)
    # with nothing to judge by, the last is the best
    judged = checkpoint.metrics.get("validation", {}).get(run.best_by, math.inf)
    if judged >= progress.best:
        progress.best = judged
        _save(run, checkpoint, weights, BEST_FILE)


def _save(run: Run, checkpoint: Checkpoint, weights: Mapping[str, Tensor], name: str) -> None:
    save_checkpoint(checkpoint, run.folder / name)
    run.objective.save_beside(checkpoint, weights, run.folder / name)
