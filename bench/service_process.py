"""A real service: ``rpn serve`` in a process of its own, on a free port of the loopback."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from bench.memory import peak_bytes, resident_bytes

_REPOSITORY = Path(__file__).parent.parent
# A loaded machine imports torch and warms every canvas in well under a minute; what takes longer has hung.
_READY_WITHIN_S = 180.0
# How exactly the start is timed; asking more often would take from what is timed.
_LOOK_EVERY_S = 0.05
# Longer than the longest batch in hand, after which the process ends by itself.
_ENDS_WITHIN_S = 60.0


class ServiceProcess:
    """A ready service; ``environment`` are its settings, and none of the caller's own ``RPN_`` variables hold.

    ``address``: ``host:port``; ``ready_s``: seconds from its start until ``/readyz`` said 200.

    Raises:
        RuntimeError: it ended, or is not ready in time; the message holds what it wrote.
    """

    def __init__(self, **environment: str) -> None:
        self._log = Path(tempfile.mkstemp(prefix="rpn-serve-", suffix=".log")[1])
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
        try:
            self._process.send_signal(signal.SIGTERM)
            if self._process.wait(_ENDS_WITHIN_S):
                raise RuntimeError(f"the service ended with {self._process.returncode}: {self._log.read_text()}")
        finally:
            self._end()

    def __enter__(self) -> "ServiceProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
        else:
            self._end()

    def _start(self, port: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RPN_")}
        # A line of log for each request would be measured too, but it is what a user gets; only the file is ours.
        with self._log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve", "--port", str(port)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**inherited, "RPN_DRAIN_GRACE_S": "0", **environment},
                cwd=_REPOSITORY,
            )

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + _READY_WITHIN_S
        while not _is_ready(self.address):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the service is not ready: {self._log.read_text()}")
            time.sleep(_LOOK_EVERY_S)

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.unlink(missing_ok=True)


def _is_ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=_ENDS_WITHIN_S)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
