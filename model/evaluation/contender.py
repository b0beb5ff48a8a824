"""One of several methods that are measured on the same pictures: a checkpoint or a baseline."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from model.evaluation.recall import BUDGETS, Recall, RecallInput, measure_recall
from model.structures import FloatArray, PixelArray
from model.training.annotations import AnnotatedPicture
from model.training.stored_picture import read_picture


@dataclass(frozen=True, slots=True)
class Contender:
    """A method's boxes on annotated pictures, what they are worth, and what they took.

    ``boxes``: each picture's, float32 (K, 4) ``xyxy``, highest first, as many as the largest budget asks for at most;
    ``seconds``: of wall clock for each picture, from its file to its boxes; ``is_learned``: a checkpoint, not a
    baseline; ``errors``: the calibration errors of a checkpoint; ``conditions``: those that it was measured under, as
    `model.evaluation.findings` says them, nothing for a baseline.
    """

    name: str
    boxes: Sequence[FloatArray]
    recall: Recall
    seconds: float
    is_learned: bool
    errors: Mapping[str, float] = field(default_factory=dict)
    conditions: str = ""

    def figures(self) -> dict[str, float]:
        """Recall, calibration error and seconds by name."""
        return self.recall.to_dict() | dict(self.errors) | {"seconds_per_picture": round(self.seconds, 4)}


def run_baseline(
    name: str,
    baseline: Callable[[PixelArray], FloatArray],
    pictures: Sequence[AnnotatedPicture],
    *,
    progress: bool = True,
) -> Contender:
    """Ask the baseline for the boxes of every picture, one after the other.

    Raises:
        DataError: a picture cannot be read.
    """
    started = time.perf_counter()
    boxes = [
        baseline(np.array(read_picture(picture.path)[1]))[: max(BUDGETS)]
        for picture in tqdm(pictures, desc=name, unit="picture", disable=not progress, leave=False)
    ]
    seconds = (time.perf_counter() - started) / max(1, len(pictures))
    pairs = zip(boxes, pictures, strict=True)
    recall = measure_recall([RecallInput(found, picture.boxes) for found, picture in pairs])
    return Contender(name, boxes, recall, seconds, is_learned=False)
