"""How long the pictures that wait will take, by how long those before them took."""

# A picture's share in the average: some twenty of them count, enough to even out sizes, few enough to follow a change.
_WEIGHT = 0.1


class Pace:
    """Seconds of one lane for one picture, a moving average; ``lanes`` of them work at once."""

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._seconds: float | None = None

    def measured(self, seconds: float, pictures: int) -> None:
        """So many pictures together took a lane so long."""
        each = seconds / pictures
        self._seconds = each if self._seconds is None else self._seconds + _WEIGHT * (each - self._seconds)

    def seconds_for(self, pictures: int) -> float:
        """How long so many pictures take all lanes; 0 as long as nothing has been measured."""
        return pictures * (self._seconds or 0.0) / self._lanes
