"""`rpn serve` before there is a server."""

import os
import signal
import subprocess
import sys

import pytest

from service import cli, server
from tests.e2e.conftest import REPOSITORY
from tests.service.fakes import PATIENCE_S

_SLOW_IMPORT = """
import time
print("importing", flush=True)
time.sleep(600)
"""


def test_sigterm_while_it_imports_ends_it_at_once(tmp_path):
    """Its handler comes first: a container's first process would not get the signal without one."""
    for name in ("fastapi", "numpy", "pydantic", "torch", "uvicorn"):
        (tmp_path / f"{name}.py").write_text(_SLOW_IMPORT)
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, text=True, stdout=subprocess.PIPE) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "importing\n"
            started.send_signal(signal.SIGTERM)
            assert started.wait(PATIENCE_S) == 0
        finally:
            started.kill()


def test_the_handler_is_there_until_the_server_has_its_own(monkeypatch: pytest.MonkeyPatch):
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []
    monkeypatch.setattr(server, "serve", lambda settings: seen.append(signal.getsignal(signal.SIGTERM)))
    monkeypatch.setattr("service.commands.serve.configure_logging", lambda level: None)
    assert cli.main(["serve"]) == 0
    assert callable(seen[0])
    assert seen[0] is not before
    assert signal.getsignal(signal.SIGTERM) is before
