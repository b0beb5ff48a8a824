"""Batches, decoded ahead of the loop by processes of their own."""

from collections.abc import Generator, Sequence

from torch.utils.data import DataLoader, Dataset

from model.errors import DataError
from model.training.dataset import Batch, CanvasBatchSampler, CanvasDataset, CanvasSample, collate
from model.training.stopping import leave_signals


def load(
    dataset: CanvasDataset, batches: CanvasBatchSampler, *, workers: int, pinned: bool
) -> Generator[Batch, None, None]:
    """The sampler's batches. To be closed: only then are the workers sure to have ended.

    ``workers``: how many processes decode, 0 for this one; ``pinned``: into memory that a GPU reads without waiting.

    Raises:
        DataError: a picture cannot be decoded, or is not what its annotation says; the message names its record.
    """
    iterator = iter(
        DataLoader(
            _Guarded(dataset),
            batch_sampler=batches,
            collate_fn=_collate,
            num_workers=workers,
            worker_init_fn=leave_signals,
            pin_memory=pinned,
        )
    )
    try:
        while (batch := next(iterator, None)) is not None:
            if isinstance(batch, DataError):
                raise batch
            yield batch
    finally:
        # Its last reference, or a traceback's frames would keep the workers alive until the interpreter ends.
        del iterator


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
