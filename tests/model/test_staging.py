"""Arrays arrive on a device as they were, whatever lay in the memory between before."""

import numpy as np
import pytest
import torch

from model.staging import Staging
from tests.needs import needs_cuda


@needs_cuda
def test_what_is_placed_next_leaves_what_was_placed_alone():
    staging, random = Staging(torch.device("cuda")), np.random.default_rng(0)
    arrays = [random.integers(0, 256, (40_000_000,), dtype=np.uint8) for _ in range(3)]
    placed = [staging.place([array])[0] for array in arrays]
    for tensor, array in zip(placed, arrays, strict=True):
        assert np.array_equal(tensor.cpu().numpy(), array)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_what_arrives_is_what_was_given(device: str):
    staging, random = Staging(torch.device(device)), np.random.default_rng(0)
    for count in (3, 900_000, 5):  # as small as before, larger than the memory, and again small
        arrays = [
            random.integers(0, 256, (count, 3), dtype=np.uint8),
            random.random((2, 3), dtype=np.float32),
            random.integers(-(2**40), 2**40, (5,)),
            np.empty((0, 4), dtype=np.float32),
            random.integers(0, 256, (2, count, 3), dtype=np.uint8)[:, ::2],
        ]
        placed = staging.place(arrays)
        assert {tensor.device.type for tensor in placed} == {device}
        for tensor, array in zip(placed, arrays, strict=True):
            assert np.array_equal(tensor.cpu().numpy(), array)
            assert tensor.cpu().numpy().dtype == array.dtype
