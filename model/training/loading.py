"""Batches, decoded ahead of the loop by processes of their own."""

from collections.abc import Generator, Sequence

from torch.utils.data import DataLoader, Dataset

from model.cores import usable_cores
from model.errors import DataError
from model.training.dataset import Batch, CanvasBatchSampler, CanvasDataset, CanvasSample, collate
from model.training.ranks import Ranks
from model.training.stopping import leave_signals


class Loading:
    """The sampler's batches, epoch by epoch. A context: only at its end are the processes sure to have ended.

    They live as long as it does, since to fork this process takes long once it holds a GPU. ``workers``: how many of
    them decode, 0 for this one; ``pinned``: into memory that a GPU reads without waiting.

    Raises:
        DataError: at the context's end, where what ended it is that one of the processes was killed.
    """

    def __init__(self, dataset: CanvasDataset, batches: CanvasBatchSampler, *, workers: int, pinned: bool) -> None:
        self._loader = DataLoader(
            _Guarded(dataset),
            batch_sampler=batches,
            collate_fn=_collate,
            num_workers=workers,
            worker_init_fn=leave_signals,
            pin_memory=pinned,
            persistent_workers=workers > 0,
        )

    def __enter__(self) -> "Loading":
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        # The last reference to its processes, which a traceback's frames would keep until the interpreter ends.
        del self._loader
        # torch learns of it by a signal, so that it is raised out of whatever is being computed.
        if isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker"):
            raise DataError(
                "a process that decodes pictures was ended, as the kernel does where memory is short (in a container "
                "often that of /dev/shm); with --workers 0 there is none"
            ) from error

    def epoch(self) -> Generator[Batch, None, None]:
        """The batches of the sampler's present epoch. To be closed.

        Raises:
            DataError: a picture cannot be decoded, or is not what its annotation says; the message names its record.
        """
        iterator = iter(self._loader)
        try:
            while (batch := next(iterator, None)) is not None:
                if isinstance(batch, DataError):
                    raise batch
                yield batch
        finally:
            del iterator  # as above


def default_workers(ranks: Ranks) -> int:
    """How many processes decode for each that trains, if nobody says.

    On a CPU training takes every core, and one is soon far ahead of it. A GPU is fed by all cores but two: one for the
    loop, one for the rest of the machine.
    """
    return 1 if ranks.device.type == "cpu" else max(1, usable_cores() // ranks.count - 2)


class _Guarded(Dataset["CanvasSample | DataError"]):
    """A fault as a value: torch would make one text of a worker's exception and its traceback, over dozens of lines."""

    def __init__(self, dataset: CanvasDataset) -> None:
        self._dataset = dataset

    def __getitem__(self, key: tuple[int, int]) -> "CanvasSample | DataError":
        try:
            return self._dataset[key]
        except DataError as error:
            return error


def _collate(samples: Sequence["CanvasSample | DataError"]) -> "Batch | DataError":
    whole = []
    for sample in samples:
        if isinstance(sample, DataError):
            return sample
        whole.append(sample)
    return collate(whole)
