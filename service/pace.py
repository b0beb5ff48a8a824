"""How long the pictures that wait will take, by how long those before them took."""

import math

# A batch's share in the average: some twenty of them count, enough to even out sizes, few enough to follow a change.
_WEIGHT = 0.1


class Pace:
    """Seconds of one lane for one batch, a moving average; ``lanes`` of them work at once.

    ``batch``: most pictures in one. A batch that is not full may take as long as a full one, so the estimate is low
    rather than high where pictures of several canvases wait.
    """

    def __init__(self, *, lanes: int, batch: int) -> None:
        self._lanes = lanes
        self._batch = batch
        self._seconds: float | None = None

    def measured(self, seconds: float) -> None:
        """A batch took a lane so long."""
        self._seconds = seconds if self._seconds is None else self._seconds + _WEIGHT * (seconds - self._seconds)

    def batches(self, pictures: int) -> int:
        """How many batches so many pictures are, at least."""
        return math.ceil(pictures / self._batch)

    def seconds_for(self, batches: int) -> float:
        """How long so many batches take all lanes; 0 as long as nothing has been measured."""
        return batches * (self._seconds or 0.0) / self._lanes
