"""A server in a process of its own, on a free port of the loopback."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.memory import peak_bytes, process_tree, resident_bytes

_REPOSITORY = Path(__file__).parent.parent
# A loaded machine imports torch and warms every canvas in well under a minute; what takes longer has hung.
_READY_WITHIN_S = 180.0
# How exactly the start is timed; asking more often would take from what is timed.
_LOOK_EVERY_S = 0.05
# Longer than the longest batch in hand, after which a server ends by itself.
ENDS_WITHIN_S = 60.0


class ServerProcess(ABC):
    """A ready server, with what it starts of processes.

    ``address``: ``host:port``; ``ready_s``: seconds from its start until it was ready.

    Raises:
        RuntimeError: it ended, or is not ready in time; the message holds what it wrote.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        with tempfile.NamedTemporaryFile(prefix="rpn-bench-", suffix=".log", delete=False) as log:
            self._log = Path(log.name)
        port = _free_port()
        self.address = f"127.0.0.1:{port}"
        started = time.perf_counter()
        self._process = self._start(port, environment)
        try:
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        self.ready_s = time.perf_counter() - started

    @abstractmethod
    def command(self, port: int) -> Sequence[str]:
        """What to run."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers; asked again and again."""

    @property
    def pid(self) -> int:
        """The process that has started the others."""
        return self._process.pid

    def resident_bytes(self) -> int:
        """What it and its children hold now."""
        return resident_bytes(self._process.pid)

    def peak_bytes(self) -> int:
        """The most that it and its children have held."""
        return peak_bytes(self._process.pid)

    def stop(self) -> None:
        """End it as a load balancer's host would.

        Raises:
            RuntimeError: it did not end with 0.
        """
        members = process_tree(self._process.pid)
        try:
            self._process.send_signal(signal.SIGTERM)
            self.check_end(self._process.wait(ENDS_WITHIN_S), self._log.read_text())
        finally:
            self._end(members)

    def check_end(self, status: int, log: str) -> None:
        """What to say to the status that it ended with, as `stop` does."""
        if status:
            raise RuntimeError(f"the server ended with {status}: {log}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
        else:
            self._end()

    def _start(self, port: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RPN_")}
        # A line of log for each request would be measured too, but it is what a user gets; only the file is ours.
        with self._log.open("wb") as output:
            return subprocess.Popen(
                self.command(port),
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**inherited, **environment},
                cwd=_REPOSITORY,
                start_new_session=True,  # a group, by which what it leaves behind is ended too
            )

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + _READY_WITHIN_S
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server is not ready: {self._log.read_text()}")
            time.sleep(_LOOK_EVERY_S)

    def _end(self, members: Sequence[int] = ()) -> None:
        if self._process.poll() is None:
            members = process_tree(self._process.pid)
        with contextlib.suppress(ProcessLookupError):  # nothing is left of it
            os.killpg(self._process.pid, signal.SIGKILL)
        for member in members:  # those that have made groups of their own
            _kill(member)
        self._process.wait()
        self._log.unlink(missing_ok=True)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
        os.kill(pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
