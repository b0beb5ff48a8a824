"""A real server: its own process, a socket on the loopback, the shipped weights."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

REPOSITORY = Path(__file__).parents[2]
# A loaded machine imports torch and warms nine canvases in well under a minute; a server that is not ready by then
# never will be.
_READY_WITHIN_S = 120


def run_rpn(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`rpn` with these arguments, to its end."""
    command = [sys.executable, "-m", "service.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, cwd=REPOSITORY, timeout=300
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def serving(log: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A ready server and its address; it is ended with SIGTERM, and must then exit 0."""
    port = free_port()
    command = [sys.executable, "-m", "service.cli", "serve", "--port", str(port)]
    settings = {"RPN_DRAIN_GRACE_S": "0", "RPN_MODELS": "general", **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **settings}, cwd=REPOSITORY
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(address, process, log)
        yield process, address
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{address}/readyz").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"not ready within {_READY_WITHIN_S} s: {log.read_text()}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with the models of the default settings."""
    models = "general,pedestrian,face"
    with serving(tmp_path_factory.mktemp("server") / "log", RPN_MODELS=models) as (_, address):
        yield address


@pytest.fixture(scope="session")
def photographs() -> dict[str, bytes]:
    """Real photographs of several sizes and shapes, as JPEG."""
    return {path.stem: path.read_bytes() for path in sorted((REPOSITORY / "examples").glob("*.jpg"))}


def boxes_of(answer: dict[str, Any]) -> list[list[float]]:
    return [proposal["box"] for proposal in answer["proposals"]]


def parse(text: str) -> Any:
    return json.loads(text)
