"""The kernel compiles without a GPU, and on one computes what torch's convolution and activation do."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from model.cuda_kernels import compile_for, kernels_for
from model.network import depthwise
from model.network.depthwise import DepthwiseConv2d, kernel_source
from tests.needs import needs_cuda, needs_nvrtc

ACTIVATIONS = [nn.Identity, nn.ReLU, nn.Hardswish]
DTYPES = [torch.float32, torch.bfloat16]


@needs_nvrtc
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_compiles(dtype: torch.dtype, activation: Callable[[], nn.Module]):
    assert compile_for(kernel_source(5, 2, dtype, activation(), 4), "sm_90").startswith(b"\x7fELF")


@pytest.mark.parametrize(
    ("convolution", "taken"),
    [
        (nn.Conv2d(16, 16, 3, 2, 1, groups=16), True),
        (nn.Conv2d(16, 16, 5, padding=2, groups=16, bias=False), True),
        (nn.Conv2d(16, 16, 3, padding=1, groups=16).bfloat16(), True),
        (nn.Conv2d(12, 12, 3, padding=1, groups=12).bfloat16(), False),  # a vector is eight of them
        (nn.Conv2d(12, 12, 3, padding=1, groups=12), True),  # of four
        (nn.Conv2d(16, 16, 3, padding=1, groups=16).double(), False),
        (nn.Conv2d(16, 32, 3, padding=1, groups=16), False),
        (nn.Conv2d(16, 16, 3, padding=1, groups=8), False),
        (nn.Conv2d(16, 16, (3, 5), padding=1, groups=16), False),
        (nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=16), False),
        (nn.Conv2d(16, 16, 3, padding="same", groups=16), False),
        (nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect", groups=16), False),
    ],
)
def test_it_says_what_it_takes(convolution: nn.Conv2d, taken: bool):
    assert DepthwiseConv2d.takes(convolution, nn.ReLU()) is taken
    assert not DepthwiseConv2d.takes(convolution, nn.GELU())


@needs_cuda
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("enough", [0, 10**9])
def test_it_is_torchs_convolution(
    size: int,
    stride: int,
    dtype: torch.dtype,
    activation: Callable[[], nn.Module],
    enough: int,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(depthwise, "_ENOUGH_THREADS", enough)  # several places to a thread, and one
    torch.manual_seed(size)
    convolution = nn.Conv2d(72, 72, size, stride, size // 2, groups=72).to(dtype)
    maps = (torch.randn(3, 72, 37, 50) * 2).to(dtype)
    with torch.inference_mode():
        expected = activation()(nn.Conv2d.float(convolution)(maps.float()))
        both = DepthwiseConv2d(convolution.to(dtype), activation()).cuda()
        found = both(maps.cuda().contiguous(memory_format=torch.channels_last))
    code = kernel_source(size, stride, dtype, activation(), 1 if enough else 4)
    assert kernels_for(found.device, code, ("depthwise",), "depthwise convolutions are cuDNN's"), "it was no fallback"
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=torch.channels_last)
    within = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 2**-7, "atol": 1e-2}
    torch.testing.assert_close(found.cpu().float(), expected, **within)
