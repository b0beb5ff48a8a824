import importlib.machinery
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model import device
from model.device import choose_device, is_cpu
from model.errors import DeviceError


def test_by_name():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(DeviceError, match="none of auto, cpu, cuda, cuda:N"):
        choose_device("tpu")


def test_what_is_said_to_be_the_cpu_without_torch_is_the_cpu():
    assert is_cpu("cpu")
    assert not is_cpu("cuda")
    if is_cpu("auto"):
        assert choose_device("auto").type == "cpu"
    else:  # a GPU, which a torch without CUDA does not see
        assert torch.cuda.is_available() or torch.version.cuda is None


def test_a_gpu_that_is_hidden_is_none():
    asked = "import sys; from model.device import is_cpu; print(is_cpu('auto'), 'torch' in sys.modules)"
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    said = subprocess.run([sys.executable, "-c", asked], env=hidden, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "False"]


@pytest.mark.parametrize(
    ("library", "cpu"), [("libtorch_cpu.so", True), ("libtorch_hip.so", False), ("torch_cuda.dll", False)]
)
def test_a_build_of_torch_tells_what_it_may_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, cpu: bool
):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / library).touch()
    installed = importlib.machinery.ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: installed)
    monkeypatch.setattr(device, "_driver_has_a_device", lambda: True)
    assert is_cpu("auto") is cpu
