"""What computes a network, and with how much of the processor."""

import importlib.util
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from model import execution, torch_execution
from model.config import ModelConfig, RefinementConfig
from model.cores import default_threads
from model.errors import DeviceError, MissingExtra
from model.execution import choose_execution, choose_lanes, choose_runtime
from model.network.network import build_network
from model.precision import choose_precision
from model.structures import Canvas, Selection
from model.torch_execution import TorchExecution

CANVAS = Canvas(width=96, height=96)
PATIENCE_S = 30


def test_openvino_is_taken_on_a_cpu_where_it_is_installed(monkeypatch: pytest.MonkeyPatch):
    installed = importlib.util.find_spec("openvino") is not None
    assert choose_runtime("auto", "cpu") == ("openvino" if installed else "torch")
    monkeypatch.setattr(execution.importlib.util, "find_spec", lambda name: None)
    assert choose_runtime("auto", "cpu") == "torch"
    with pytest.raises(MissingExtra, match=r"runtime 'openvino' needs its extra: pip install -e '\.\[openvino\]'"):
        choose_runtime("openvino", "cpu")


def test_cuda_graphs_are_for_a_gpu():
    assert choose_runtime("auto", "cuda") == choose_runtime("cuda-graphs", "cuda:1") == "cuda-graphs"
    assert choose_runtime("torch", "cuda") == "torch"
    with pytest.raises(DeviceError, match="runtime 'cuda-graphs' computes on a GPU, not on cpu"):
        choose_runtime("cuda-graphs", "cpu")


def test_torch_computes_what_openvino_cannot(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DeviceError, match="runtime 'openvino' computes on the CPU, not on cuda"):
        choose_runtime("openvino", "cuda")
    monkeypatch.setattr(execution, "multiplies_bf16", lambda device: False)
    assert choose_runtime("auto", "cpu", "bf16") == "torch"
    with pytest.raises(DeviceError, match="computes in bf16 only where the processor does"):
        choose_runtime("openvino", "cpu", "bf16")


def test_integers_are_taken_where_openvino_has_what_they_need(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("openvino")
    floats = choose_precision("auto", "cpu")
    monkeypatch.setattr(execution, "multiplies_int8", lambda: True)
    assert choose_execution("auto", "auto", "cpu", quantized=True) == ("openvino", "int8")
    assert choose_execution("auto", "auto", "cpu", quantized=False) == ("openvino", floats)
    assert choose_execution("torch", "auto", "cpu", quantized=True) == ("torch", floats)
    assert choose_execution("auto", "fp32", "cpu", quantized=True) == ("openvino", "fp32")
    monkeypatch.setattr(execution, "multiplies_int8", lambda: False)
    assert choose_execution("auto", "auto", "cpu", quantized=True) == ("openvino", floats)
    assert choose_execution("auto", "int8", "cpu", quantized=True) == ("openvino", "int8"), "who asks, gets it"
    with pytest.raises(DeviceError, match="precision 'int8' is computed by OpenVINO on a CPU, not by torch on cpu"):
        choose_execution("torch", "int8", "cpu", quantized=True)
    with pytest.raises(DeviceError, match="precision 'fp8' is none of"):
        choose_execution("auto", "fp8", "cpu", quantized=True)


def test_integers_by_name_without_openvino_name_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(execution.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"runtime 'openvino' needs its extra"):
        choose_execution("auto", "int8", "cpu", quantized=True)
    assert choose_execution("auto", "auto", "cpu", quantized=True)[0] == "torch"


def test_a_gpu_has_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(execution, "choose_precision", lambda name, device: "bf16")
    assert choose_execution("auto", "auto", "cuda", quantized=True) == ("cuda-graphs", "bf16")
    with pytest.raises(DeviceError, match="not by cuda-graphs on cuda"):
        choose_execution("auto", "int8", "cuda", quantized=True)


def test_a_runtime_that_there_is_not_is_named():
    with pytest.raises(DeviceError, match="runtime 'onnx' is none of auto, torch, openvino, cuda-graphs"):
        choose_runtime("onnx", "cpu")


@pytest.mark.parametrize(("threads", "torchs", "openvinos"), [(1, 1, 1), (2, 2, 3), (7, 7, 8), (8, 8, 8), (64, 8, 8)])
def test_a_cpu_has_a_lane_for_each_core_and_openvino_a_spare_one(
    threads: int, torchs: int, openvinos: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(execution, "default_threads", lambda: threads)
    assert (choose_lanes(0, "cpu", "torch"), choose_lanes(0, "cpu", "openvino")) == (torchs, openvinos)


@pytest.mark.parametrize("wanted", [1, 3])
def test_a_cpu_has_the_lanes_that_are_wanted_and_a_gpu_has_one(wanted: int):
    assert (choose_lanes(wanted, "cpu", "openvino"), choose_lanes(wanted, "cpu", "torch")) == (wanted, wanted)
    assert (choose_lanes(0, "cuda", "torch"), choose_lanes(wanted, "cuda", "cuda-graphs")) == (1, 1)


@pytest.fixture(autouse=True)
def _all_cores() -> Iterator[None]:
    """As a service's process has them, whoever else runs tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(default_threads())
    yield
    torch.set_num_threads(before)


def torch_run(config: ModelConfig, lanes: int) -> TorchExecution:
    return TorchExecution(build_network(config).eval(), lanes, config.selection, None)


def blank(run: TorchExecution, *, alone: bool) -> None:
    pixels, contents = np.zeros((1, 96, 96, 3), dtype=np.uint8), np.array([[96, 96]], dtype=np.float32)
    run.propose(pixels, contents, [Selection()], alone=alone)


def in_another_thread(ask: Callable[[], int]) -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(ask()))
    thread.start()
    thread.join()
    return found[0]


def threads_of(run: TorchExecution, *, alone: bool) -> int:
    """How many threads torch takes in a thread of its own, which has called."""

    def ask() -> int:
        blank(run, alone=alone)
        return torch.get_num_threads()

    return in_another_thread(ask)


def test_a_lone_call_has_all_cores_and_several_share_them(tiny_config: ModelConfig):
    run = torch_run(tiny_config, lanes=2)
    assert (run.runtime, run.lanes) == ("torch fp32", 2)
    whole = default_threads()
    assert threads_of(run, alone=True) == whole
    assert threads_of(run, alone=False) == max(1, whole // 2)
    assert torch.get_num_threads() == whole, "other threads keep theirs"


def test_one_lane_leaves_the_number_of_threads_as_it_is(tiny_config: ModelConfig, monkeypatch: pytest.MonkeyPatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(torch_execution.torch, "set_num_threads", lambda count: pytest.fail("set"))
    blank(torch_run(tiny_config, lanes=1), alone=True)
    assert torch.get_num_threads() == before


def test_calls_that_come_together_share_the_processor_once_that_is_warm(tiny_config: ModelConfig):
    pytest.importorskip("openvino")
    from model.network.openvino_graphs import convert
    from model.openvino_execution import OpenVINOExecution

    config = replace(tiny_config, refinement=RefinementConfig(proposals=60, channels=8, hidden=32))
    run = OpenVINOExecution(config, convert(build_network(config).eval()), "fp32", 2, None)
    assert (run.runtime, run.lanes) == ("openvino fp32", 2)
    whole = run.network(CANVAS, alone=True)
    assert run.network(CANVAS, alone=True) is whole
    given = np.full((1, 96, 96, 3), 99, dtype=np.uint8), np.array([[96, 80]], dtype=np.float32), [Selection()]
    [alone] = run.propose(*given, alone=True)
    end = time.monotonic() + PATIENCE_S
    with ThreadPoolExecutor(2) as threads:
        while (shared := run.network(CANVAS, alone=False)) is whole:
            assert time.monotonic() < end, "it never became warm"
            for [together] in threads.map(lambda _: run.propose(*given, alone=False), range(2)):
                np.testing.assert_allclose(together.boxes, alone.boxes, atol=1e-2)
        assert run.network(CANVAS, alone=False) is shared
        for [together] in threads.map(lambda _: run.propose(*given, alone=False), range(8)):
            np.testing.assert_allclose(together.boxes, alone.boxes, atol=1e-2)
    assert run.network(CANVAS, alone=True) is whole
    assert run.network(Canvas(width=64, height=96), alone=False) is whole, "that one has not been asked for before"
    assert shared.anchors is whole.anchors


@pytest.mark.parametrize(("precision", "exactly"), [("int8", True), ("int8", False), ("fp32", True)])
def test_integers_are_made_of_pixels_where_the_processor_adds_them_exactly(
    tiny_config: ModelConfig, monkeypatch: pytest.MonkeyPatch, precision: str, exactly: bool
):
    pytest.importorskip("openvino")
    from model import openvino_execution
    from model.network.openvino_graphs import convert

    monkeypatch.setattr(openvino_execution, "has_vnni", lambda: exactly)
    graphs = convert(build_network(tiny_config).eval())
    run = openvino_execution.OpenVINOExecution(tiny_config, graphs, precision, 1, None)
    given = np.full((1, 96, 96, 3), 99, dtype=np.uint8), np.array([[96, 80]], dtype=np.float32), [Selection()]
    network = run.network(CANVAS, alone=True)
    assert network.reads_pixels is (precision == "int8" and exactly)
    [found] = run.propose(*given, alone=True)
    assert len(found.boxes)


@pytest.mark.parametrize(
    ("precision", "avx2", "calls"), [("fp32", True, 1), ("fp32", False, 0), ("bf16", True, 0), ("int8", True, 0)]
)
def test_winograd_is_for_fp32_alone_and_where_it_was_measured(
    tiny_config: ModelConfig, monkeypatch: pytest.MonkeyPatch, precision: str, avx2: bool, calls: int
):
    pytest.importorskip("openvino")
    from model import openvino_execution
    from model.host.graphs import Graphs
    from model.network.openvino_graphs import convert

    asked: list[Sequence[Canvas]] = []

    def spy(graphs: Graphs, canvases: Sequence[Canvas]) -> Graphs:
        asked.append(canvases)
        return graphs

    monkeypatch.setattr(openvino_execution, "has_avx2", lambda: avx2)
    monkeypatch.setattr(openvino_execution, "with_winograd", spy)
    openvino_execution.OpenVINOExecution(tiny_config, convert(build_network(tiny_config).eval()), precision, 1, None)
    assert asked == [tiny_config.input.canvases] * calls
