"""How far a run has come, and what its present epoch has shown so far: what its state holds beside the weights."""

import math
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(slots=True)
class Tally:
    """Sums over batches, of all processes: ``losses`` by name, ``seconds`` of wall-clock, loading included."""

    batches: float = 0
    pictures: float = 0
    seconds: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Take in another's batches."""
        self.batches += other.batches
        self.pictures += other.pictures
        self.seconds += other.seconds
        for name, value in other.losses.items():
            self.losses[name] = self.losses.get(name, 0.0) + value

    @property
    def means(self) -> dict[str, float]:
        """Each loss's mean over the batches."""
        return {name: value / max(1, self.batches) for name, value in self.losses.items()}

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return self.pictures / self.seconds if self.seconds > 0 else 0.0

    @property
    def is_finite(self) -> bool:
        """No loss was infinite or NaN."""
        return all(math.isfinite(value) for value in self.losses.values())


@dataclass(slots=True)
class Session:
    """One start of the command: when (UTC), at which step, and for how long, in seconds of wall-clock."""

    began: str
    from_step: int
    wall_seconds: float = 0.0


@dataclass(slots=True)
class Progress:
    """How far a run has come: ``batch`` counts each process's within the epoch, ``total`` the run's optimizer steps.

    ``best``: the best recall so far; ``seconds``: of forward and backward passes; ``tally``: of the epoch.
    """

    epoch: int = 0
    batch: int = 0
    total: int = 0
    best: float = -1.0
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    sessions: list[Session] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `from_dict` reverses it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Progress":
        """What `to_dict` wrote; TypeError or KeyError for anything else."""
        tally, sessions = Tally(**values["tally"]), [Session(**session) for session in values["sessions"]]
        return cls(**{**values, "tally": tally, "sessions": sessions})


class SessionClock:
    """Keeps the last of a progress's sessions, which it begins, up to date."""

    def __init__(self, progress: Progress) -> None:
        self._began = time.monotonic()
        self._session = Session(datetime.now(UTC).isoformat(timespec="seconds"), progress.total)
        progress.sessions.append(self._session)

    def tick(self) -> None:
        """Note how long the session has lasted."""
        self._session.wall_seconds = round(time.monotonic() - self._began, 1)
