"""Permits: one per request, taken before a byte of its body is read and held until its answer is made.

There are so many, and so many bytes for the bodies of all that hold one.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.errors import Overloaded

# The last ten seconds weigh most: long enough to average over batches, short enough to follow a change of load.
_MEMORY_S = 10.0
# A caller that waits longer than this should rather ask another replica.
LONGEST_WAIT_S = 60


def refuse_in_vain(wait_s: float, deadline: float) -> None:
    """Refuse at once who would wait for longer than his deadline, on the event loop's clock: he may still be in time
    elsewhere.

    Raises:
        Overloaded: with ``wait_s``, rounded up, as the time to come again.
    """
    if 0 < deadline - asyncio.get_running_loop().time() < wait_s:
        raise Overloaded(min(LONGEST_WAIT_S, math.ceil(wait_s)))


class DrainRate:
    """Requests finished per second of busy time, older ones weighing exponentially less.

    Idle time does not count: a service that was idle all night is not slow.
    """

    def __init__(self, now: float) -> None:
        self._finished = 0.0
        self._busy_s = 0.0
        self._at = now

    def advance(self, now: float, *, busy: bool) -> None:
        """Time has passed until ``now``, with or without requests in hand."""
        elapsed = max(0.0, now - self._at)
        fade = math.exp(-elapsed / _MEMORY_S)
        self._finished *= fade
        self._busy_s = self._busy_s * fade + (elapsed if busy else 0.0)
        self._at = now

    def finish(self) -> None:
        """One request has been finished."""
        self._finished += 1.0

    def seconds_for(self, requests: int) -> float:
        """How long so many requests take to finish, 0 if nothing has been measured."""
        return requests * self._busy_s / self._finished if self._finished else 0.0


class Permit:
    """One request's, and how much of the room for bodies it takes."""

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self.bytes = 0

    def hold(self, size: int) -> None:
        """Take room for so many bytes more, until the permit is given back.

        Raises:
            Overloaded: there is no such room now.
        """
        self._admission.take(size)
        self.bytes += size


class Admission:
    """A fixed number of permits, and of bytes that their bodies may take together.

    Used from the event loop alone, so it needs no lock.
    """

    def __init__(self, permits: int, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._permits = permits
        self._max_bytes = max_bytes
        self._held = 0
        self._held_bytes = 0
        self._clock = clock
        self._rate = DrainRate(clock())

    @property
    def held(self) -> int:
        """Permits that are out."""
        return self._held

    @property
    def held_bytes(self) -> int:
        """Bytes of the bodies of those that hold them."""
        return self._held_bytes

    def take(self, size: int) -> None:
        """Room for so many bytes.

        Raises:
            Overloaded: there is none.
        """
        if self._held_bytes + size > self._max_bytes:
            self._rate.advance(self._clock(), busy=True)
            raise Overloaded(self._retry_after())
        self._held_bytes += size

    @contextmanager
    def admit(self) -> Iterator[Permit]:
        """Hold a permit for the length of the block.

        Raises:
            Overloaded: none is free.
        """
        self._rate.advance(self._clock(), busy=self._held > 0)
        if self._held >= self._permits:
            raise Overloaded(self._retry_after())
        self._held += 1
        permit = Permit(self)
        try:
            yield permit
        finally:
            self._held_bytes -= permit.bytes
            self._rate.advance(self._clock(), busy=True)
            self._rate.finish()
            self._held -= 1

    def _retry_after(self) -> int:
        """Whole seconds until what is held now is done, at the measured rate."""
        return min(LONGEST_WAIT_S, max(1, math.ceil(self._rate.seconds_for(self._held))))
