"""A checkpoint back to the network that it was."""

from pathlib import Path

from torch import Tensor, nn

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.detector import DetectorCheckpoint
from model.config import ModelConfig
from model.errors import CheckpointError, ConfigError
from model.network.detector import Detector, build_detector
from model.network.network import ProposalNetwork, build_network


def restore_network(checkpoint: Checkpoint, path: Path) -> ProposalNetwork:
    """The network with the checkpoint's weights, float32, in evaluation mode.

    Raises:
        CheckpointError: the weights are not those of the architecture; the message names the first that does not fit.
    """
    try:
        network = build_network(checkpoint.config)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    _fill(network, checkpoint, path)
    return network.eval()


def restore_detector(detector: DetectorCheckpoint, path: Path) -> Detector:
    """The same for a whole detector.

    Raises:
        CheckpointError: as `restore_network`.
    """
    try:
        network = build_detector(detector.checkpoint.config, detector.heads)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    _fill(network, detector.checkpoint, path)
    return network.eval()


def fitting_weights(checkpoint: Checkpoint, config: ModelConfig, path: Path) -> dict[str, Tensor]:
    """The checkpoint's weights, float32, that a network of another config has by the same name and in the same shape.

    Raises:
        CheckpointError: the checkpoint is unsound, or none of its backbone fits.
    """
    source = restore_network(checkpoint, path).state_dict()
    wanted = build_network(config).state_dict()
    fitting = {name: t for name, t in source.items() if name in wanted and wanted[name].shape == t.shape}
    if not any(name.startswith("backbone.") and t.ndim > 1 for name, t in fitting.items()):
        raise CheckpointError(
            f"{path}: no weights of its backbone, {checkpoint.config.backbone.name}, fit {config.architecture}"
        )
    return fitting


def _fill(network: nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Every weight of the network from the checkpoint, and none left over."""
    expected = network.state_dict()
    if missing := sorted(expected.keys() - checkpoint.state_dict.keys()):
        raise CheckpointError(f"{path}: weights {missing[0]!r} are missing ({len(missing)} in all)")
    if foreign := sorted(checkpoint.state_dict.keys() - expected.keys()):
        raise CheckpointError(f"{path}: weights {foreign[0]!r} do not belong to {checkpoint.config.architecture}")
    for name, tensor in checkpoint.state_dict.items():
        if tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)}, not {tuple(expected[name].shape)}"
            raise CheckpointError(f"{path}: weights {name!r} have shape {shapes}")
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{path}: weights {name!r} hold values that are not finite")
    values = {name: t.to(expected[name].dtype) for name, t in checkpoint.state_dict.items()}
    network.load_state_dict(values)
