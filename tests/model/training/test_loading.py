import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
import torch

from model.config import longest_side_rule
from model.errors import DataError
from model.training import loading
from model.training.annotations import read_annotations
from model.training.augmentation import AugmentationConfig
from model.training.dataset import CanvasBatchSampler, CanvasDataset
from model.training.loading import Loading, default_workers
from model.training.ranks import Ranks
from tests.scenes import write_coco

PATIENCE_S = 20


@pytest.fixture
def dataset(tmp_path: Path) -> CanvasDataset:
    pictures = read_annotations(write_coco(tmp_path, "train", range(6)))
    return CanvasDataset(pictures, longest_side_rule(64), AugmentationConfig())


def processes() -> set[int | None]:
    return {process.pid for process in multiprocessing.active_children()}


def seen(dataset: CanvasDataset, workers: int, parts: Sequence[tuple[int, int]]) -> list[list[torch.Tensor]]:
    """The pixels of each of these (epoch, first batch), by one loading."""
    batches = CanvasBatchSampler(dataset, 2, seed=1)
    found = []
    with Loading(dataset, batches, workers=workers, pinned=False) as loaded:
        for batches.epoch, batches.start in parts:
            with closing(loaded.epoch()) as epoch:
                found.append([next(epoch).pixels for _ in range(len(batches))])
    return found


def test_processes_that_stay_give_what_new_ones_would(dataset: CanvasDataset):
    parts = [(0, 1), (1, 0), (5, 2)]
    staying = seen(dataset, 2, parts)
    assert [len(epoch) for epoch in staying] == [2, 3, 1]
    for part, epoch in zip(parts, staying, strict=True):
        [alone] = seen(dataset, 0, [part])
        assert all(torch.equal(one, two) for one, two in zip(epoch, alone, strict=True))


def test_its_processes_stay_from_epoch_to_epoch_and_end_with_it(dataset: CanvasDataset):
    before, batches = processes(), CanvasBatchSampler(dataset, 2, seed=1)
    with Loading(dataset, batches, workers=2, pinned=False) as loaded:
        assert processes() == before, "not before they are needed"
        with closing(loaded.epoch()) as epoch:
            next(epoch)
            first = processes() - before
        assert len(first) == 2
        batches.epoch = 1
        with closing(loaded.epoch()) as epoch:  # the one before was broken off
            assert len(list(epoch)) == 3
            assert processes() - before == first
    assert processes() == before


def test_they_end_after_a_fault_too_though_its_traceback_is_kept(dataset: CanvasDataset):
    dataset.pictures[3].path.write_bytes(b"no picture")
    before, batches = processes(), CanvasBatchSampler(dataset, 2, seed=1)
    with (
        pytest.raises(DataError) as caught,
        Loading(dataset, batches, workers=1, pinned=False) as loaded,
        closing(loaded.epoch()) as epoch,
    ):
        list(epoch)
    assert caught.tb is not None
    assert processes() == before


@pytest.mark.parametrize(
    ("device", "count", "cores", "expected"),
    [("cpu", 1, 16, 1), ("cuda", 1, 16, 14), ("cuda:1", 2, 16, 6), ("cuda", 1, 2, 1)],
)
def test_a_gpu_is_fed_by_all_cores_but_two(
    device: str, count: int, cores: int, expected: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loading, "usable_cores", lambda: cores)
    assert default_workers(Ranks(torch.device(device), count=count)) == expected


def kill_those_of(loading: Loading, before: set[int | None]) -> None:
    """All that are not of ``before``; torch raises wherever this process then is."""
    with closing(loading.epoch()) as epoch:
        next(epoch)
        for worker in processes() - before:
            assert worker is not None
            os.kill(worker, signal.SIGKILL)
        for _ in range(PATIENCE_S * 100):
            time.sleep(0.01)


def test_a_process_that_is_killed_is_told_in_one_sentence(dataset: CanvasDataset):
    before, batches = processes(), CanvasBatchSampler(dataset, 2, seed=1)
    loading = Loading(dataset, batches, workers=1, pinned=False)
    with pytest.raises(DataError, match=r"a process that decodes pictures was ended.*--workers 0"), loading:
        kill_those_of(loading, before)
    assert processes() == before
