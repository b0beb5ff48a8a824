import pytest
import torch

from model.errors import DeviceOutOfMemory
from model.training.out_of_memory import told_what_would_fit


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "remedy"),
    [(16, 1, "--batch-size 8 --accumulate 2"), (3, 4, "--batch-size 2 --accumulate 8"), (1, 1, "smaller --input-size")],
)
def test_what_does_not_fit_is_told_with_what_would(batch_size: int, accumulate: int, remedy: str):
    told = pytest.raises(DeviceOutOfMemory, match=f"{batch_size} pictures at once.*{remedy}")
    with told, told_what_would_fit(batch_size, accumulate):
        torch.empty(10**15)


def test_a_gpus_error_is_one_too():
    with pytest.raises(DeviceOutOfMemory), told_what_would_fit(2, 1):
        raise torch.OutOfMemoryError("CUDA out of memory.")


def test_other_faults_stay_what_they_are():
    with pytest.raises(RuntimeError, match="must match"), told_what_would_fit(2, 1):
        torch.ones(2) + torch.ones(3)
