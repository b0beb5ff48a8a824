"""The bar of a whole run: how far, how fast, and how long still."""

from tqdm import tqdm

from model.training.progress import Progress


class ProgressBar:
    """Counts optimizer steps over all epochs, so that its remaining time is the run's.

    tqdm's ``smoothing=0`` takes the mean over the session: the pauses in which the recall is measured are in it.
    """

    def __init__(self, progress: Progress, *, epochs: int, steps: int, shown: bool) -> None:
        self._epochs = epochs
        self._bar = tqdm(
            total=steps, initial=progress.total, unit="step", smoothing=0, mininterval=1.0, disable=not shown
        )

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self, progress: Progress) -> None:
        """One more step: show where it is, the epoch's mean losses so far, and its pictures a second."""
        self._bar.set_description(f"epoch {progress.epoch + 1}/{self._epochs}", refresh=False)
        losses = " ".join(f"{name} {mean:.4f}" for name, mean in progress.tally.means.items())
        self._bar.set_postfix_str(f"{losses}, {progress.tally.rate:.1f} pictures/s", refresh=False)
        self._bar.update()
