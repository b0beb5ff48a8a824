"""`rpn weights quantize`: what a checkpoint needs to be computed in 8-bit integers, measured and put into it."""

import argparse
from dataclasses import replace
from pathlib import Path

from model.allocator import keep_freed_memory
from model.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from model.checkpoints.restore import restore_network
from model.cli.command_line import command_line
from model.cli.data_argument import ONE_SPLIT, short_path
from model.cli.target_argument import check_checkpoint_target
from model.device import choose_device
from model.errors import ConfigError
from model.evaluation.evaluate import evaluate, recall_of
from model.evaluation.quantization import MOST_LOST, check_openvino, quantized, with_integers
from model.evaluation.recall_table import recall_table
from model.predictor import Predictor
from model.training.annotations import read_measurable

_DESCRIPTION = """
Measure on photographs how far the values reach that each layer reads, and write a checkpoint that knows it. A
CPU then computes it in 8-bit integers, 1.1 to 3.3 times as fast as what it takes otherwise. Its recall is measured both
ways, and where average recall falls by more than --most-lost nothing is written. The weights stay as they are.
Integers are computed by this machine's CPU; one without VNNI may lose more than one that has it, so measure where it is
going to be served.
"""


def add_parser(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    command = actions.add_parser(
        "quantize", help="measure what a CPU needs to compute a checkpoint in int8", description=_DESCRIPTION
    )
    command.set_defaults(run=run_quantize)
    add = command.add_argument
    add("file", type=Path, help="a checkpoint: trained, imported or released")
    add("--out", type=Path, required=True, help="the checkpoint to write, .safetensors")
    add("--data", type=Path, required=True, help=f"photographs such as it is going to see: {ONE_SPLIT} (its val split)")
    add(
        "--most-lost",
        type=float,
        default=MOST_LOST,
        metavar="SHARE",
        help="by how much AR@100 and AR@1000 may fall (default: %(default)s)",
    )
    add("--device", default="auto", help="for measuring in fp32: auto, cpu, cuda or cuda:N (default: %(default)s)")


def run_quantize(arguments: argparse.Namespace) -> int:
    """Write the checkpoint, and say what it loses."""
    keep_freed_memory()
    if not 0 <= arguments.most_lost <= 1:
        raise ConfigError(f"--most-lost must lie between 0 and 1, not {arguments.most_lost}")
    check_checkpoint_target(arguments.out)
    checkpoint = load_checkpoint(arguments.file)
    pictures = read_measurable(arguments.data)
    check_openvino()
    device = choose_device(arguments.device)
    network = restore_network(checkpoint, arguments.file)
    floats = evaluate(Predictor.of(network, replace(checkpoint, calibration=None), device), pictures)
    made, integers = quantized(checkpoint, arguments.file, pictures, device, floats, arguments.most_lost)
    recall = recall_of(integers, pictures)
    metrics = with_integers(checkpoint.metrics, short_path(arguments.data), recall.to_dict())
    provenance = {**checkpoint.provenance, "quantized_by": command_line()}
    digest = save_checkpoint(replace(made, metrics=metrics, provenance=provenance), arguments.out)
    lines = (f"{arguments.out}: {digest}", recall_table({"fp32": floats, "int8": recall}))
    print("\n".join(lines))  # noqa: T201 - a command's answer
    return 0
