"""OpenVINO's own entry, once for a process; whatever imports openvino imports this first."""

import sys
import threading
from typing import Any

# OpenVINO's Python package reports each import to its makers, and keeps an identity in the user's home, unless a file
# there says no. It goes without where this package cannot be imported; a service reports nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

_lock = threading.Lock()
_cores: list[Any] = []


def core() -> Any:
    """The one ``openvino.Core``, for good.

    Its CPU plugin gives the thread that first uses it a stack for signals, and takes the memory back when it goes, from
    whichever thread that happens in: the next signal then ends the process (2026.4.1).

    Raises:
        ImportError: OpenVINO is not installed.
    """
    from openvino import Core

    with _lock:
        if not _cores:
            _cores.append(Core())
        return _cores[0]
