"""All that one evaluation found, for whoever prints, stores or draws it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.checkpoints.checkpoint import Checkpoint
from model.evaluation.calibration import calibrated, cross_fitted
from model.evaluation.coverage import Coverage, measure_coverage
from model.evaluation.evaluate import recall_of
from model.evaluation.recall import Recall
from model.evaluation.reliability import error_figures
from model.structures import Proposals
from model.training.annotations import AnnotatedPicture


@dataclass(frozen=True, slots=True)
class Findings:
    """A checkpoint's proposals on annotated pictures, and what they are worth.

    ``proposals``: one for each picture, with the network's own scores, after NMS at ``nms_iou``; ``computed``: by what,
    in which format and on which device, ``torch fp32 on cpu``; ``served``: float32 (M,), in the order of ``coverage``,
    the scores as they are served.
    """

    checkpoint: Checkpoint
    data: str
    pictures: Sequence[AnnotatedPicture]
    proposals: Sequence[Proposals]
    computed: str
    nms_iou: float
    recall: Recall
    coverage: Coverage
    served: npt.NDArray[np.float32]

    @property
    def is_calibrated(self) -> bool:
        """Whether the checkpoint carries a calibration."""
        return self.checkpoint.calibration is not None

    @property
    def conditions(self) -> str:
        """What the figures hold under, beside the pictures: ``NMS at 0.5, openvino int8 on cpu``."""
        return f"NMS at {self.nms_iou:g}, {self.computed}"

    def expected(self) -> npt.NDArray[np.float32]:
        """(M,): the scores as served; of a checkpoint without calibration, as one fitted here would make them."""
        return self.served if self.is_calibrated else cross_fitted(self.coverage)

    def figures(self) -> dict[str, float]:
        """Recall and calibration error by name."""
        return self.recall.to_dict() | error_figures(self.coverage, self.served)


def judge(
    checkpoint: Checkpoint,
    data: str,
    pictures: Sequence[AnnotatedPicture],
    proposals: Sequence[Proposals],
    computed: str,
    nms_iou: float | None = None,
) -> Findings:
    """Measure the checkpoint's proposals, which bear the network's own scores; ``data`` names the pictures.

    ``computed``: as `Findings` has it; ``nms_iou``: that they are left by, the model's own for None.
    """
    nms_iou = checkpoint.config.selection.nms_iou if nms_iou is None else nms_iou
    coverage = measure_coverage(proposals, pictures)
    return Findings(
        checkpoint=checkpoint,
        data=data,
        pictures=pictures,
        proposals=proposals,
        computed=computed,
        nms_iou=nms_iou,
        recall=recall_of(proposals, pictures),
        coverage=coverage,
        served=calibrated(coverage.scores, checkpoint.calibration, nms_iou),
    )
