"""A network's recall on a data set, by the path that serves it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from tqdm import tqdm

from model.evaluation.recall import BUDGETS, Recall, RecallInput, measure_recall
from model.predictor import Predictor
from model.structures import Canvas, Proposals, Selection
from model.training.annotations import AnnotatedPicture
from model.training.dataset import CanvasDataset, CanvasSample


def evaluate(
    predictor: Predictor,
    pictures: Sequence[AnnotatedPicture],
    *,
    batch_size: int = 8,
    nms_iou: float | None = None,
    progress: bool = True,
) -> Recall:
    """Average recall on annotated pictures, each placed, predicted and restored exactly as in service.

    ``nms_iou``: the model's own for None.
    """
    proposals = propose(predictor, pictures, batch_size=batch_size, nms_iou=nms_iou, progress=progress)
    return recall_of(proposals, pictures)


def recall_of(proposals: Sequence[Proposals], pictures: Sequence[AnnotatedPicture]) -> Recall:
    """The recall of the pictures' own proposals."""
    pairs = zip(proposals, pictures, strict=True)
    return measure_recall([RecallInput(found.boxes, picture.boxes) for found, picture in pairs])


def propose(
    predictor: Predictor,
    pictures: Sequence[AnnotatedPicture],
    *,
    batch_size: int = 8,
    nms_iou: float | None = None,
    progress: bool = True,
) -> list[Proposals]:
    """Each picture's proposals, as many as the largest budget asks for, in the pictures' order."""
    samples = CanvasDataset(pictures, predictor.input_rule)
    selection = Selection(top_n=max(BUDGETS), nms_iou=predictor.info.nms_iou if nms_iou is None else nms_iou)
    answers: dict[int, Proposals] = {}
    with tqdm(total=len(pictures), desc="evaluate", unit="picture", disable=not progress, leave=False) as bar:
        for indices, batch in _batches(samples, batch_size):
            pixels = np.stack([s.pixels for s in batch])
            found = predictor.predict(pixels, [s.placement for s in batch], [selection] * len(batch))
            answers.update(zip(indices, found, strict=True))
            bar.update(len(batch))
    return [answers[index] for index in range(len(pictures))]


def _batches(samples: CanvasDataset, batch_size: int) -> Iterator[tuple[list[int], list[CanvasSample]]]:
    gathered: dict[Canvas, list[tuple[int, CanvasSample]]] = defaultdict(list)
    for index in range(len(samples)):
        sample = samples[index, 0]
        row = gathered[sample.placement.canvas]
        row.append((index, sample))
        if len(row) == batch_size:
            yield _split(gathered.pop(sample.placement.canvas))
    yield from (_split(row) for row in gathered.values())


def _split(row: Iterable[tuple[int, CanvasSample]]) -> tuple[list[int], list[CanvasSample]]:
    indices, samples = zip(*row, strict=True)
    return list(indices), list(samples)
