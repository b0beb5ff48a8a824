"""What computes a network, and with how much of the processor."""

import importlib.util
import threading
import time

import pytest
import torch

from model import execution
from model.config import ModelConfig
from model.cores import usable_cores
from model.errors import DeviceError, MissingExtra
from model.execution import OpenVINOExecution, TorchExecution, choose_lanes, choose_runtime, default_threads
from model.network.network import build_network

CPU, GPU = torch.device("cpu"), torch.device("cuda")
PATIENCE_S = 30


def test_openvino_is_taken_on_a_cpu_where_it_is_installed(monkeypatch: pytest.MonkeyPatch):
    installed = importlib.util.find_spec("openvino") is not None
    assert choose_runtime("auto", CPU) == ("openvino" if installed else "torch")
    monkeypatch.setattr(execution.importlib.util, "find_spec", lambda name: None)
    assert choose_runtime("auto", CPU) == "torch"
    with pytest.raises(MissingExtra, match=r"runtime 'openvino' needs its extra: pip install '.*\[openvino\]'"):
        choose_runtime("openvino", CPU)


def test_torch_computes_on_a_gpu_and_what_openvino_cannot(monkeypatch: pytest.MonkeyPatch):
    assert choose_runtime("auto", GPU) == "torch"
    with pytest.raises(DeviceError, match="runtime 'openvino' computes on the CPU, not on cuda"):
        choose_runtime("openvino", GPU)
    monkeypatch.setattr(execution, "multiplies_bf16", lambda device: False)
    assert choose_runtime("auto", CPU, torch.bfloat16) == "torch"
    with pytest.raises(DeviceError, match="computes in bf16 only where the processor does"):
        choose_runtime("openvino", CPU, torch.bfloat16)


def test_a_runtime_that_there_is_not_is_named():
    with pytest.raises(DeviceError, match="runtime 'onnx' is none of auto, torch, openvino"):
        choose_runtime("onnx", CPU)


def test_a_cpu_has_a_lane_for_each_core_and_a_gpu_has_one(monkeypatch: pytest.MonkeyPatch):
    assert choose_lanes(0, CPU) == min(default_threads(), 8)
    assert (choose_lanes(3, CPU), choose_lanes(0, GPU), choose_lanes(3, GPU)) == (3, 1, 1)
    monkeypatch.setattr(execution, "default_threads", lambda: 64)
    assert choose_lanes(0, CPU) == 8


def test_threads_are_no_more_than_cores_and_no_more_than_torch_was_told(monkeypatch: pytest.MonkeyPatch):
    told = torch.get_num_threads()
    assert default_threads() == min(told, usable_cores())
    monkeypatch.setattr(execution, "usable_cores", lambda: told + 1)
    assert default_threads() == told
    monkeypatch.setattr(execution, "usable_cores", lambda: 1)
    assert default_threads() == 1


def threads_of(run: TorchExecution | OpenVINOExecution, *, alone: bool) -> int:
    """How many threads torch takes in a thread of its own, in which the execution has been asked for its network."""
    found: list[int] = []

    def ask() -> None:
        run.network(alone=alone)
        found.append(torch.get_num_threads())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return found[0]


def test_a_lone_call_has_all_cores_and_several_share_them(tiny_config: ModelConfig):
    run = TorchExecution(build_network(tiny_config), CPU, lanes=2)
    assert (run.runtime, run.lanes) == ("torch fp32", 2)
    whole = default_threads()
    assert threads_of(run, alone=True) == whole
    assert threads_of(run, alone=False) == max(1, whole // 2)
    assert torch.get_num_threads() == whole, "other threads keep theirs"


def test_one_lane_leaves_the_number_of_threads_as_it_is(tiny_config: ModelConfig):
    before = torch.get_num_threads()
    TorchExecution(build_network(tiny_config), CPU, lanes=1).network(alone=True)
    assert torch.get_num_threads() == before


def test_calls_that_come_together_share_the_processor_once_that_is_warm(tiny_config: ModelConfig):
    pytest.importorskip("openvino")
    run = OpenVINOExecution(build_network(tiny_config).eval(), torch.float32, 2, tiny_config.input.canvases)
    assert (run.runtime, run.lanes) == ("openvino fp32", 2)
    whole = run.network(alone=True)
    assert run.network(alone=True) is whole
    end = time.monotonic() + PATIENCE_S
    while (shared := run.network(alone=False)) is whole:
        assert time.monotonic() < end, "it never became warm"
        time.sleep(0.01)
    assert run.network(alone=False) is shared
    assert run.network(alone=True) is whole
