"""A real service: ``rpn serve`` in a process of its own."""

import contextlib
import http.client
import sys
from collections.abc import Sequence

from bench.server_process import ENDS_WITHIN_S, ServerProcess


class ServiceProcess(ServerProcess):
    """A ready service; ``environment`` are its settings, and none of the caller's own ``RPN_`` variables hold."""

    def __init__(self, **environment: str) -> None:
        super().__init__({"RPN_DRAIN_GRACE_S": "0", **environment})

    def command(self, port: int) -> Sequence[str]:
        """``rpn serve``."""
        return (sys.executable, "-m", "service.cli", "serve", "--port", str(port))

    def is_ready(self) -> bool:
        """What ``/readyz`` says."""
        connection = http.client.HTTPConnection(self.address, timeout=ENDS_WITHIN_S)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        return False
