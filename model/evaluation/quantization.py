"""What a network needs to be computed in 8-bit integers, and what they cost it."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.restore import restore_network
from model.errors import ConfigError, DataError, MissingExtra
from model.evaluation.evaluate import propose, recall_of
from model.evaluation.recall import Recall
from model.network.input_ranges import recorded_ranges
from model.predictor import Predictor
from model.quantization import Quantization
from model.structures import Proposals
from model.training.annotations import AnnotatedPicture

# Enough to say how far values reach on a usual one.
_PICTURES = 100
# AR@100 and AR@1000 may fall by so much; half of it is chance on 480 photographs.
MOST_LOST = 0.003
_BUDGETS = (100, 1000)
_IN_INTEGERS = ", in int8 as a CPU serves it"


def quantized(
    checkpoint: Checkpoint,
    path: Path,
    pictures: Sequence[AnnotatedPicture],
    device: torch.device,
    floats: Recall,
    most_lost: float = MOST_LOST,
) -> tuple[Checkpoint, list[Proposals]]:
    """The checkpoint with its ranges, and its proposals in integers; ``floats``: the recall that it has without.

    ``pictures``: as `model.training.annotations.read_measurable` reads them; ``device``: where the ranges are measured;
    integers are computed on this CPU.

    Raises:
        DataError: it loses more than that, or its ranges on these pictures cannot be used.
        MissingExtra: OpenVINO, which computes integers, is not installed.
    """
    check_openvino()
    try:
        ranges = measure_ranges(checkpoint, path, pictures, device)
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error
    integers = propose_in_integers(checkpoint, path, pictures, ranges)
    lost = loss(floats, recall_of(integers, pictures))
    if lost > most_lost:
        raise DataError(f"{path}: in int8 it loses {lost:.4f} of AR@100 or AR@1000, more than {most_lost:g}")
    return replace(checkpoint, quantization=ranges), integers


def check_openvino() -> None:
    """Whether integers can be computed at all, before an hour is spent on it.

    Raises:
        MissingExtra: OpenVINO is not installed.
    """
    if importlib.util.find_spec("openvino") is None:
        raise MissingExtra("measuring int8 needs an extra: pip install -e '.[openvino]' in the project's folder")


def measure_ranges(
    checkpoint: Checkpoint, path: Path, pictures: Sequence[AnnotatedPicture], device: torch.device
) -> Quantization:
    """The ranges on up to a hundred of the pictures, spread over all of them.

    Raises:
        ConfigError: what a convolution reads is not finite.
    """
    network = restore_network(checkpoint, path)
    predictor = Predictor.of(network, checkpoint, device)
    with recorded_ranges(network) as ranges:
        propose(predictor, pictures[:: -(-len(pictures) // _PICTURES)], batch_size=1)
    return ranges.quantization()


def propose_in_integers(
    checkpoint: Checkpoint, path: Path, pictures: Sequence[AnnotatedPicture], quantization: Quantization
) -> list[Proposals]:
    """The proposals of the network as OpenVINO computes it in 8-bit integers, on this CPU, with its own scores."""
    from model.network.openvino_graphs import convert
    from model.network.quantized_graph import quantize
    from model.openvino_execution import OpenVINOExecution

    graphs = convert(restore_network(checkpoint, path))
    integers = quantize(graphs, quantization)
    execution = OpenVINOExecution(checkpoint.config, integers, "int8", 1, None)
    return propose(Predictor(execution, replace(checkpoint, calibration=None), "cpu"), pictures)


def loss(floats: Recall, integers: Recall) -> float:
    """By how much AR@100 or AR@1000 falls, whichever falls further, to four places; below 0 where both rise."""
    return round(max(floats.average(budget) - integers.average(budget) for budget in _BUDGETS), 4)


def with_integers(metrics: Mapping[str, Any], place: str, figures: Mapping[str, float]) -> dict[str, Any]:
    """A checkpoint's metrics with those of integers on a data set, and without what they had before."""
    others = {name: figures for name, figures in metrics.items() if not name.endswith(_IN_INTEGERS)}
    return {**others, f"{place}{_IN_INTEGERS}": dict(figures)}
