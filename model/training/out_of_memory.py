"""What torch says where memory is short, as an error of ours that tells what would fit."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from model.errors import DeviceOutOfMemory

# The processor's allocator has no exception of its own.
_NO_MEMORY = "can't allocate memory"


@contextmanager
def told_what_would_fit(batch_size: int, accumulate: int) -> Iterator[None]:
    """For a training whose steps take so many batches of so many pictures.

    Raises:
        DeviceOutOfMemory: the memory does not hold it.
    """
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY in str(error)):
            raise
        smaller = -(-batch_size // 2)
        # At least as many pictures a step, or the rate and the schedule would not be right any more.
        remedy = f"--batch-size {smaller} --accumulate {2 * accumulate}" if batch_size > 1 else "a smaller --input-size"
        raise DeviceOutOfMemory(
            f"the memory does not hold what {batch_size} pictures at once take to train on; try {remedy}, in another "
            "--out where this one has a state"
        ) from error
