"""Networks made ready for OpenVINO ahead of the process that serves them, so that this one never imports torch."""

import errno
from collections.abc import Sequence
from pathlib import Path

from model.checkpoints.checkpoint import load_checkpoint
from model.checkpoints.sealed_file import declared_digest
from model.device import is_cpu
from model.errors import CheckpointError
from model.execution import choose_runtime
from model.host.graphs import GraphFolder
from model.precision import choose_precision
from model.predictor import graphs_of


def unprepared(paths: Sequence[Path], *, device: str, precision: str, runtime: str, cache: Path) -> list[Path]:
    """The checkpoints that OpenVINO is going to compute here and whose graphs are not in the folder yet.

    None where they could not be kept. What is wrong with a checkpoint is for its loading to say.

    Raises:
        DeviceError: there is no such precision or runtime here.
        MissingExtra: the runtime is not installed.
    """
    if not is_cpu(device) or choose_runtime(runtime, "cpu", choose_precision(precision, "cpu")) != "openvino":
        return []
    folder = GraphFolder(cache.expanduser())
    return [path for path in paths if _is_missing(path, folder)] if folder.writable else []


def prepare(path: Path, cache: Path) -> bool:
    """Put a checkpoint's graphs into the folder; False where they are there already.

    Raises:
        CheckpointError: the file is not a sound checkpoint of ours.
        ImportError: OpenVINO is not installed.
        PermissionError: the folder cannot be written to.
    """
    folder = GraphFolder(cache.expanduser())
    checkpoint = load_checkpoint(path)
    if folder.holds(checkpoint.digest):
        return False
    if not folder.writable:
        raise PermissionError(errno.EACCES, "cannot be written to", str(folder.folder))
    graphs_of(checkpoint, path, folder)
    return True


def _is_missing(path: Path, folder: GraphFolder) -> bool:
    try:
        return not folder.holds(declared_digest(path))
    except CheckpointError:
        return False
