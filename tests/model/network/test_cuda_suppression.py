"""The kernels compile without a GPU; with one their survivors are those of the rounds."""

import logging
import subprocess
import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from model.cuda_kernels import compile_for, source
from model.network import cuda_suppression, suppression
from model.network.cuda_suppression import can_suppress, suppress_on_cuda
from model.network.suppression import suppress
from tests.model.network.test_suppression import chain, crowd
from tests.needs import needs_cuda, needs_nvrtc

CUDA = torch.device("cuda")


@needs_nvrtc
@pytest.mark.parametrize("thresholds", [1, 3])
def test_they_compile(thresholds: int):
    assert compile_for(source("suppression.cu", THRESHOLDS=thresholds), "sm_90").startswith(b"\x7fELF")


def test_a_cpu_has_none():
    assert not can_suppress(torch.device("cpu"), 1)


def test_tensors_without_values_pass(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(suppression, "can_suppress", lambda device, thresholds: True)
    with FakeTensorMode(), torch.inference_mode():
        boxes = torch.empty(2, 5, 4, device="cuda:0")
        survivors, settled = suppress(boxes, boxes[..., 0] > 0, torch.empty(3, 2, device="cuda:0"))
    assert (survivors.shape, survivors.dtype, survivors.device) == ((3, 2, 5), torch.bool, torch.device("cuda:0"))
    assert (settled.shape, settled.dtype) == ((2,), torch.bool)


# What is registered for a GPU, called without one: of no boxes it has nothing to ask of it.
WITHOUT_A_GPU = """
keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
none = torch.empty(2, 0, 4), torch.empty(2, 0, dtype=torch.bool), torch.empty(3, 2)
assert torch.ops.rpn.suppress.default.redispatch(keys, *none).shape == (3, 2, 0)
"""
ON_A_GPU = """
boxes, competing, ious = torch.zeros(2, 5, 4), torch.ones(2, 5, dtype=torch.bool), torch.full((3, 2), 0.5)
assert cuda_suppression.suppress_on_cuda(boxes.cuda(), competing.cuda(), ious.cuda()).shape == (3, 2, 5)
"""


@pytest.mark.parametrize("call", [WITHOUT_A_GPU, pytest.param(ON_A_GPU, marks=needs_cuda)])
def test_torchs_compiler_is_not_imported_for_it(call: str):
    before = "import sys, torch\nfrom model.network import cuda_suppression\n"
    after = "print([name for name in sys.modules if name.startswith('torch._dynamo')])"
    command = [sys.executable, "-c", before + call + after]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[]"


@needs_cuda
@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000, 2300])
@pytest.mark.parametrize("spread", [5.0, 60.0, 1500.0])
def test_survivors_are_those_of_the_rounds(count: int, spread: float, monkeypatch: pytest.MonkeyPatch):
    random = torch.Generator().manual_seed(count)
    boxes = crowd(random, 4, count, spread)
    competing = torch.rand(4, count, generator=random) < 0.9
    ious = torch.rand(3, 4, generator=random).sort(dim=0).values
    assert can_suppress(CUDA, 3)
    found, settled = suppress(boxes.cuda(), competing.cuda(), ious.cuda(), rounds=1)
    assert bool(settled.all()), "they walk to the end"
    expected, _ = suppress(boxes, competing, ious)
    assert torch.equal(found.cpu(), expected)
    monkeypatch.setattr(suppression, "can_suppress", lambda device, thresholds: False)
    assert torch.equal(suppress(boxes.cuda(), competing.cuda(), ious.cuda())[0].cpu(), expected)


@needs_cuda
def test_no_box_is_no_survivor():
    none = (torch.empty(2, 0, 4, device=CUDA), torch.empty(2, 0, dtype=torch.bool, device=CUDA))
    assert suppress(*none, torch.full((3, 2), 0.5, device=CUDA))[0].shape == (3, 2, 0)


@needs_cuda
def test_the_threshold_itself_is_no_overlap():
    boxes = chain(200).cuda()
    iou = 8 / 12
    for limit, kept in ((iou, 200), (float(torch.tensor(iou).nextafter(torch.tensor(0.0))), 100)):
        everything = torch.ones(1, 200, dtype=torch.bool, device=CUDA)
        assert int(suppress_on_cuda(boxes, everything, torch.tensor([[limit]], device=CUDA)).sum()) == kept


@needs_cuda
def test_without_them_the_rounds_do_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(cuda_suppression, "source", lambda *files, **defined: "no code")
    with caplog.at_level(logging.WARNING):
        everything = torch.ones(1, 40, dtype=torch.bool, device=CUDA)
        survivors, _ = suppress(chain(40).cuda(), everything, torch.tensor([[0.5]], device=CUDA))
    assert int(survivors.sum()) == 20
    assert "cuda:0: NMS goes by rounds: kernels.cu(1): error" in caplog.text
