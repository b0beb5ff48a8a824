"""``rpn train --objective`` and what goes with it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from model.config import ModelConfig
from model.errors import ConfigError, DataError
from model.network.roi_heads import RoIHeadsConfig
from model.training.annotations import AnnotatedPicture
from model.training.classes import class_names
from model.training.objectives.detection import TRAINING_PROPOSALS, DetectionObjective, training_selection
from model.training.objectives.objective import Objective
from model.training.objectives.proposals import ProposalObjective
from model.training.roi_sampler import RoISampler

_WIDTH = RoIHeadsConfig(classes=("any",)).width
_ROIS = RoISampler().per_picture
_ONLY_DETECTION = ("roi_width", "rois_per_picture", "train_proposals")


def add_objective(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--objective",
        choices=("proposals", "detection"),
        default="proposals",
        help="proposals: the RPN alone. detection: a whole Faster R-CNN end to end, torchvision's RoI heads on the "
        "classes of the data, in the place of a second stage of proposals; saves the RPN alone (last, best), to be "
        "served, and the detector (detector-last, detector-best), to be loaded with model.detection.load_detector "
        "(default: %(default)s)",
    )
    group = parser.add_argument_group("with --objective detection")
    add = group.add_argument
    add("--roi-width", type=int, help=f"width of the heads' two layers (default: {_WIDTH}, torchvision's)")
    add("--rois-per-picture", type=int, help=f"proposals of a picture that the heads learn from (default: {_ROIS})")
    add("--train-proposals", type=int, help=f"proposals that these are drawn from (default: {TRAINING_PROPOSALS})")


def objective_of(arguments: argparse.Namespace, config: ModelConfig, pictures: Sequence[AnnotatedPicture]) -> Objective:
    """The objective that was asked for; a detector's classes are those of the training pictures.

    Raises:
        ConfigError: an argument is out of its range, or is of no use to the objective.
        DataError: a detector is asked for, and the data have no classes.
    """
    given = [name for name in _ONLY_DETECTION if getattr(arguments, name) is not None]
    if arguments.objective == "proposals":
        if given:
            raise ConfigError(f"--{given[0].replace('_', '-')} is for --objective detection")
        return ProposalObjective()
    width, rois, proposals = (getattr(arguments, name) for name in _ONLY_DETECTION)
    heads = RoIHeadsConfig(_classes(arguments.data, pictures), _WIDTH if width is None else width)
    selection = training_selection(config, TRAINING_PROPOSALS if proposals is None else proposals)
    return DetectionObjective(heads, selection, RoISampler(_ROIS if rois is None else rois))


def _classes(data: Path, pictures: Sequence[AnnotatedPicture]) -> tuple[str, ...]:
    try:
        return class_names(pictures)
    except DataError as error:
        raise DataError(f"{data}: --objective detection needs the classes of the data: {error}") from error
