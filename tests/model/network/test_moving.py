"""The kernels compile without a GPU, and on one do what torch's operations do, which are what runs elsewhere."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from model.cuda_kernels import compile_for, source
from model.network import moving
from model.network.moving import add_bias, add_upsampled, max_pool, space_to_depth
from tests.needs import needs_cuda, needs_nvrtc

DEVICES = ["cpu", pytest.param("cuda", marks=needs_cuda)]


def maps(*shape: int, device: str) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(0)).bfloat16()
    return values.to(device).contiguous(memory_format=torch.channels_last)


@needs_nvrtc
def test_they_compile():
    assert compile_for(source("vectors.cu", "maps.cu", HALF=1), "sm_90").startswith(b"\x7fELF")


@needs_cuda
def test_a_gpu_has_them():
    assert moving._kernels_for(maps(1, 8, 2, 2, device="cuda"))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(2, 16, 12, 20), (1, 256, 6, 6), (2, 16, 13, 7), (2, 12, 8, 8)])
def test_a_coarser_level_is_added(shape: tuple[int, int, int, int], device: str):
    fine, coarse = maps(*shape, device=device), maps(*shape[:2], shape[2] // 2, shape[3] // 2, device=device)
    expected = fine + F.interpolate(coarse, size=shape[2:], mode="nearest")
    assert torch.equal(add_upsampled(fine, coarse), expected)
    assert torch.equal(fine, expected), "in its place"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(2, 16, 12, 20), (1, 256, 5, 7), (2, 12, 8, 8)])
def test_a_bias_is_added(shape: tuple[int, int, int, int], device: str):
    given, bias = maps(*shape, device=device), torch.linspace(-2, 2, shape[1], device=device).bfloat16()
    expected = given + bias[:, None, None]
    assert torch.equal(add_bias(given, bias), expected)
    assert torch.equal(given, expected), "in its place"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(2, 64, 12, 20), (2, 16, 13, 7), (1, 8, 1, 1), (2, 12, 8, 8)])
def test_the_largest_of_three_by_three(shape: tuple[int, int, int, int], device: str):
    given = maps(*shape, device=device)
    given[0, 0, 0, 0] = torch.nan
    torch.testing.assert_close(
        max_pool(given), F.max_pool2d(given, 3, stride=2, padding=1), rtol=0, atol=0, equal_nan=True
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("lead", "trail"), [(2, 1), (1, 0), (0, 0)])
def test_blocks_of_pixels_become_channels(lead: int, trail: int, device: str):
    pictures = maps(2, 3, 12, 20, device=device)
    found = space_to_depth(pictures, lead, trail)
    assert found.shape == (2, 16, 6 + lead + trail, 10 + lead + trail)
    inside = found[:, :, lead : lead + 6, lead : lead + 10]
    assert torch.equal(F.pixel_shuffle(inside[:, :12].unflatten(1, (4, 3)).transpose(1, 2).flatten(1, 2), 2), pictures)
    assert float(found.abs().sum()) == pytest.approx(float(pictures.abs().sum()), rel=1e-2), "all else is 0"


@needs_cuda
@pytest.mark.parametrize("call", [max_pool, lambda given: space_to_depth(given[:, :3].contiguous(), 1, 0)])
def test_float32_is_torchs(call: Callable[[Tensor], Tensor]):
    given = maps(2, 16, 12, 20, device="cuda").float()
    assert torch.equal(call(given).cpu(), call(given.cpu()))
