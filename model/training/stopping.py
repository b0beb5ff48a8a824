"""Being asked to stop: by Ctrl-C, by SIGTERM, and not in the middle of a step."""

import atexit
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_workers() -> None:
    """At the interpreter's end: multiprocessing asks what still runs by SIGTERM to end, and waits for it without limit.
    A worker that is stuck in a read, deaf to that signal, would keep the training from ending."""
    for worker in multiprocessing.active_children():
        worker.kill()


# Before multiprocessing's own, which was registered when it was imported.
atexit.register(end_workers)


def leave_signals(_worker: int) -> None:
    """In a process that decodes for the loop: a signal to the whole group (`timeout`, systemd, a terminal) is the
    loop's to take, which goes on to the end of its step, and then ends its workers."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class StopRequest:
    """Within its context a signal only sets ``made``, which the loop asks for where the weights are whole.

    ``insistent``: a second signal is not waited with, but raises KeyboardInterrupt at once. Not for torchrun, which
    hands on to its processes the Ctrl-C that the terminal has already sent them.

    Signals are taken in the main thread alone, also where a shell started us in the background, deaf to Ctrl-C.
    """

    def __init__(self, *, insistent: bool = True) -> None:
        self.made = False
        self._insistent = insistent
        self._at_once = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._arrived) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # None: set by something other than Python, which cannot be put back from here
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]
        self._before = {}

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """For what may be broken off anywhere: within it, a signal raises KeyboardInterrupt, as an earlier one does."""
        self._at_once = True
        try:
            if self.made:
                raise KeyboardInterrupt
            yield
        finally:
            self._at_once = False

    def _arrived(self, _number: int, _frame: FrameType | None) -> None:
        again, self.made = self.made, True
        if self._at_once or (again and self._insistent):
            raise KeyboardInterrupt
