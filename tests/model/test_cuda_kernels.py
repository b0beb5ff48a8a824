"""Compiling takes no GPU; what cannot be compiled is told."""

import pytest
import torch

from model.cuda_kernels import KernelError, compile_for, compile_kernels, kernels_for, source
from tests.needs import needs_cuda, needs_nvrtc

DOUBLE = """extern "C" __global__ void twice(float* values, int count) {
    if (threadIdx.x < count) values[threadIdx.x] *= 2;
}"""


@needs_nvrtc
@pytest.mark.parametrize(
    ("code", "architecture", "words"),
    [
        ("no code", "sm_90", r"kernels.cu\(1\): error"),
        (DOUBLE, "sm_1", "invalid value for --gpu-architecture"),
    ],
)
def test_what_cannot_be_compiled_is_told(code: str, architecture: str, words: str):
    with pytest.raises(KernelError, match=words):
        compile_for(code, architecture)


def test_macros_come_before_the_files():
    code = source("vectors.cu", "maps.cu", HALF=1, MORE=2)
    assert code.startswith("#define HALF 1\n#define MORE 2\n//")
    assert code.index("pack(const float* values)") < code.index("void add_bias")


def test_a_cpu_has_none():
    assert kernels_for(torch.device("cpu"), "no code", ("none",), "nothing is done") == ()


@needs_cuda
def test_a_kernel_runs_on_the_stream_that_is_current():
    (twice,) = compile_kernels(DOUBLE, ["twice"], torch.device("cuda"))
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        values = torch.arange(4.0, device="cuda")
        twice((1, 1, 1), (32, 1, 1), [values, 3])
    stream.synchronize()
    assert values.tolist() == [0, 2, 4, 3]
