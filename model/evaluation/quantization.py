"""What a network needs to be computed in 8-bit integers, and what they cost it."""

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.restore import restore_network
from model.errors import MissingExtra
from model.evaluation.evaluate import evaluate, propose
from model.evaluation.recall import Recall
from model.network.input_ranges import recorded_ranges
from model.predictor import Predictor
from model.quantization import Quantization
from model.training.annotations import AnnotatedPicture

# Enough to say how far values reach on a usual one.
_PICTURES = 100
# AR@100 and AR@1000 may fall by so much; half of it is chance on 480 photographs.
MOST_LOST = 0.003


def measure_ranges(
    checkpoint: Checkpoint, path: Path, pictures: Sequence[AnnotatedPicture], device: torch.device
) -> Quantization:
    """The ranges on up to a hundred of the pictures, spread over all of them."""
    network = restore_network(checkpoint, path)
    predictor = Predictor.of(network, checkpoint, device)
    with recorded_ranges(network) as ranges:
        propose(predictor, pictures[:: -(-len(pictures) // _PICTURES)], batch_size=1)
    return ranges.quantization()


def measure_integers(
    checkpoint: Checkpoint, path: Path, pictures: Sequence[AnnotatedPicture], quantization: Quantization
) -> Recall:
    """The recall of the network as OpenVINO computes it in 8-bit integers, on a CPU.

    Raises:
        MissingExtra: OpenVINO is not installed.
    """
    if importlib.util.find_spec("openvino") is None:
        raise MissingExtra("measuring int8 needs an extra: pip install 'region-proposal-service[openvino]'")
    from model.network.openvino_graphs import convert
    from model.network.quantized_graph import quantize
    from model.openvino_execution import OpenVINOExecution

    graphs = convert(restore_network(checkpoint, path))
    integers = replace(graphs, convolutions=quantize(graphs.convolutions, quantization))
    execution = OpenVINOExecution(checkpoint.config, integers, "int8", 1, None)
    return evaluate(Predictor(execution, replace(checkpoint, calibration=None), "cpu"), pictures)


def loss(floats: Recall, integers: Recall) -> float:
    """By how much AR@100 or AR@1000 falls, whichever falls further; below 0 where both rise."""
    before, after = floats.to_dict(), integers.to_dict()
    return max(before[name] - after[name] for name in ("AR@100", "AR@1000"))
