"""The processes that train one network together: alone, or as many as torchrun has started."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from model.device import choose_device
from model.errors import DeviceError

# The others wait while the first measures the recall, which on a large validation set outlasts any usual timeout.
# torchrun ends them when one dies, so it guards against nothing else.
_PATIENCE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process is ``rank`` of ``count``, and trains on ``device``.

    ``control``: the group for figures and for waiting, on the CPU; None for one process alone.
    """

    device: torch.device
    rank: int = 0
    count: int = 1
    control: distributed.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """The one that writes, measures and shows."""
        return self.rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """The network as all train it: from the first's weights, each backward pass giving the mean gradient."""
        if self.count == 1:
            return network
        return DistributedDataParallel(network, device_ids=[self.device] if self.device.type == "cuda" else None)

    def apart(self, network: nn.Module) -> AbstractContextManager[None]:
        """Passes of `share`'s network within it keep their gradients for the first pass after it."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each value's sum over all processes; all must call it, and each waits for the others."""
        if self.count == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(tensor, group=self.control)
        return [float(value) for value in tensor]

    def wait(self) -> None:
        """Until all are here."""
        self.sums([0.0])

    def agree(self, value: float) -> bool:
        """All have the same value."""
        return self.sums([value, value * value]) == [value * self.count, value * value * self.count]


@contextmanager
def join_ranks(device: str) -> Iterator[Ranks]:
    """The processes that torchrun has started, each on a device of its own; without torchrun this one alone.

    ``device`` is as in `choose_device`; of several processes each takes the GPU of its own number on its machine.

    Raises:
        DeviceError: there is no such device here, or one device is named for several processes.
    """
    count = int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    if count == 1:
        yield Ranks(choose_device(device))
        return
    own = _own_device(device, count, int(os.environ["LOCAL_RANK"]))
    if own.type == "cuda":
        torch.cuda.set_device(own)
    distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
    control = cast(distributed.ProcessGroup, distributed.new_group(backend="gloo", timeout=_PATIENCE))
    yield Ranks(own, distributed.get_rank(), count, control)
    # Only after success: a process that fails must end, not wait for others that may be stuck waiting for it.
    distributed.destroy_process_group()


def _own_device(name: str, count: int, local: int) -> torch.device:
    device = choose_device(name)
    if device.type == "cpu":
        return device
    if ":" in name:
        raise DeviceError(f"device {name!r} is one device for {count} processes; name auto, cuda or cpu")
    return choose_device(f"cuda:{local}")
