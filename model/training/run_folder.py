"""What a run's folder holds, by name."""

from pathlib import Path

# All that a stopped run needs to go on; see `model.training.run_state`.
STATE_FILE = "state.pt"
LOG_FILE = "log.csv"
LAST_FILE, BEST_FILE = "last.safetensors", "best.safetensors"
EVENTS_FOLDER = "tensorboard"


def partial(path: Path) -> Path:
    """Where a file is written before it takes its name, so that a crash leaves the old one or the new one, whole."""
    return path.with_name(path.name + ".partial")
