"""The only door that the service uses: load a checkpoint, warm it, predict a batch."""

from collections.abc import Sequence
from pathlib import Path

from model.imaging.canvas import InputRule
from model.structures import ModelInfo, PixelArray, Placement, Proposals, Selection


class Predictor:
    """A loaded checkpoint on a device.

    Load it, warm it and call it in one and the same thread: on a CPU a network built in one thread and run in
    another is much slower.
    """

    info: ModelInfo
    input_rule: InputRule
    max_top_n: int

    @classmethod
    def load(cls, path: Path, *, device: str = "auto") -> "Predictor":
        """Read, check and place a checkpoint."""
        raise NotImplementedError

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        """Run every canvas at these batch sizes once."""
        raise NotImplementedError

    def predict(
        self, pixels: PixelArray, placements: Sequence[Placement], selections: Sequence[Selection]
    ) -> list[Proposals]:
        """The proposals of N pictures on one canvas, each as its own caller wants them."""
        raise NotImplementedError
