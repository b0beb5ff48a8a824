"""How a training process computes: by how many threads, and whether in TF32. Both are settled once, for all of a run.

On a GPU fp32 is as torch has it by default: convolutions may take TF32, other matrix products may not. What measures a
network meanwhile computes as a service does, without TF32 and by as many threads as it sees fit, and these are settings
of the whole process. Were they to stay, a run's first epoch, and the first after it was resumed, would be computed
otherwise than all others, and of several processes only the one that measures would change.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.backends import cuda, cudnn

from model.cores import default_threads


def settle_threads() -> None:
    """At most as many as there are cores to keep busy: torch counts the machine's, whatever share a container has."""
    torch.set_num_threads(min(torch.get_num_threads(), default_threads()))


@contextmanager
def kept_arithmetic() -> Iterator[None]:
    """Threads and TF32 are afterwards what they were, whatever computed within it and however that ended."""
    threads, convolutions, products = torch.get_num_threads(), cudnn.allow_tf32, cuda.matmul.allow_tf32
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cudnn.allow_tf32, cuda.matmul.allow_tf32 = convolutions, products
