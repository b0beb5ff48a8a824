"""Networks as OpenVINO reads them: found where they are kept, or made with torch.

Made by a process of its own ahead of the one that serves, they spare this one importing torch.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.sealed_file import declared_digest
from model.device import is_cpu
from model.errors import CheckpointError
from model.execution import choose_runtime
from model.host.graphs import GraphFolder, Graphs
from model.precision import choose_precision


def graphs_of(checkpoint: Checkpoint, path: Path, folder: GraphFolder) -> Graphs:
    """The checkpoint's graphs, from the folder or made by torch and kept there.

    Raises:
        CheckpointError: the weights are not those of the architecture.
        ImportError: OpenVINO is not installed.
    """
    found = folder.find(checkpoint.digest)
    if found is not None:
        return found
    from model.light_import import import_torchvision

    import_torchvision()
    from model.checkpoints.restore import restore_network
    from model.network.openvino_graphs import convert

    made = convert(restore_network(checkpoint, path))
    kept = folder.find(checkpoint.digest) if folder.keep(checkpoint.digest, made) else None
    return kept or made  # those that were read hold no memory of torch's


def unprepared(paths: Sequence[Path], *, device: str, precision: str, runtime: str, cache: Path) -> list[Path]:
    """The checkpoints that OpenVINO is going to compute here and whose graphs are not in the folder yet.

    None where they could not be kept. What is wrong with a checkpoint is for its loading to say.

    Raises:
        DeviceError: there is no such precision or runtime here.
        MissingExtra: the runtime is not installed.
    """
    if not is_cpu(device) or choose_runtime(runtime, "cpu", choose_precision(precision, "cpu")) != "openvino":
        return []
    folder = GraphFolder(cache)
    return [path for path in paths if _is_missing(path, folder)] if folder.writable else []


def prepare(path: Path, cache: Path) -> bool:
    """Put a checkpoint's graphs into the folder; False where they are there already.

    Raises:
        CheckpointError: the file is not a sound checkpoint of ours.
        ImportError: OpenVINO is not installed.
        OSError: the folder cannot be written to.
    """
    folder = GraphFolder(cache)
    checkpoint = load_checkpoint(path)
    if folder.find(checkpoint.digest) is not None:
        return False
    if not folder.writable:
        raise PermissionError(errno.EACCES, "cannot be written to", str(folder.folder))
    graphs_of(checkpoint, path, folder)
    if not folder.holds(checkpoint.digest):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(folder.folder))
    return True


def _is_missing(path: Path, folder: GraphFolder) -> bool:
    try:
        return not folder.holds(declared_digest(path))
    except CheckpointError:
        return False
