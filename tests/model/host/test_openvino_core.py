import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.host.openvino_core import core

pytest.importorskip("openvino")

# faulthandler keeps a stack for signals, as a service's or a test's process may; Python's handlers run on it.
SIGNALLED = """
import faulthandler, gc, os, signal, threading
import numpy as np
import openvino.opset13 as ops
from openvino import Model
from model.host.openvino_core import core

faulthandler.enable()
told = []
signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))

def compiled():
    given = ops.parameter([2, 2], np.float32)
    return core().compile_model(Model([ops.relu(given)], [given]), "CPU")

held = [compiled()]
held[0](np.ones((2, 2), dtype=np.float32))
thread = threading.Thread(target=lambda: (held.clear(), gc.collect()))
thread.start()
thread.join()
compiled()
os.kill(os.getpid(), signal.SIGTERM)
assert told == [signal.SIGTERM]
"""


def test_there_is_one():
    assert core() is core()


def test_a_signal_after_a_model_has_gone_in_another_thread_is_heard():
    subprocess.run([sys.executable, "-c", SIGNALLED], check=True, capture_output=True, timeout=120)


def test_openvino_reports_nothing(tmp_path: Path):
    asked = (
        "from model.host.openvino_core import core; core(); import openvino.tools.ovc.telemetry_utils as t; print(t.tm)"
    )
    home = {**os.environ, "HOME": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-c", asked], env=home, check=True, capture_output=True, text=True, timeout=120
    )
    assert "telemetry_stub" in said.stdout
    assert list(tmp_path.iterdir()) == [], "nor does it leave an identity in the home folder"
