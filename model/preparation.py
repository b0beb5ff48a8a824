"""Networks as OpenVINO reads them: found where they are kept, or made with torch.

Made by a process of its own ahead of the one that serves, they spare this one importing torch.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from model.checkpoints.checkpoint import QUANTIZATION, Checkpoint, load_checkpoint
from model.checkpoints.sealed_file import declared_document
from model.device import is_cpu
from model.errors import CheckpointError, ConfigError
from model.execution import choose_execution
from model.host.graphs import GraphFolder, Graphs

_FLOATS = "fp32"
_INTEGERS = "int8"


def graphs_of(checkpoint: Checkpoint, path: Path, folder: GraphFolder, precision: str) -> Graphs:
    """The checkpoint's graphs in this precision, from the folder or made by torch and kept there.

    Raises:
        CheckpointError: the weights are not those of the architecture.
        ImportError: OpenVINO is not installed.
    """
    place = _kept_as(checkpoint.digest, precision)
    found = folder.find(place)
    if found is not None:
        return found
    made = _convert(checkpoint, path)
    for name, graphs in made.items():
        if not folder.holds(name):
            folder.keep(name, graphs)
    folder.drop_unused()
    return folder.find(place) or made[place]  # those that were read hold no memory of torch's


def _convert(checkpoint: Checkpoint, path: Path) -> dict[str, Graphs]:
    """In every precision that the checkpoint can be computed in."""
    from model.light_import import import_torchvision

    import_torchvision()
    from model.checkpoints.restore import restore_network
    from model.network.openvino_graphs import convert

    graphs = convert(restore_network(checkpoint, path))
    made = {_kept_as(checkpoint.digest, _FLOATS): graphs}
    if checkpoint.quantization is not None:
        from model.network.quantized_graph import quantize

        try:
            integers = quantize(graphs, checkpoint.quantization)
        except ConfigError as error:
            raise CheckpointError(f"{path}: {error}") from error
        made[_kept_as(checkpoint.digest, _INTEGERS)] = integers
    return made


def unprepared(paths: Sequence[Path], *, device: str, precision: str, runtime: str, cache: Path) -> list[Path]:
    """The checkpoints that OpenVINO is going to compute here and whose graphs are not in the folder yet.

    None where they could not be kept. Those that are there are renewed, and what no start has asked for in a month is
    dropped, to make room. What is wrong with a checkpoint is for its loading to say.

    Raises:
        DeviceError: there is no such precision or runtime here.
        MissingExtra: the runtime is not installed.
    """
    if not is_cpu(device):
        return []
    folder = GraphFolder(cache)
    missing = [path for path in paths if _is_missing(path, folder, precision, runtime)]
    if not missing or not folder.writable:
        return []
    folder.drop_unused()
    return missing


def prepare(path: Path, cache: Path) -> bool:
    """Put a checkpoint's graphs into the folder, of each precision; False where they are there already.

    Raises:
        CheckpointError: the file is not a sound checkpoint of ours.
        ImportError: OpenVINO is not installed.
        OSError: the folder cannot be written to.
    """
    folder = GraphFolder(cache)
    checkpoint = load_checkpoint(path)
    precisions = (_FLOATS,) if checkpoint.quantization is None else (_FLOATS, _INTEGERS)
    places = [_kept_as(checkpoint.digest, precision) for precision in precisions]
    if None not in [folder.find(place) for place in places]:  # each is looked at: what is damaged is dropped
        return False
    if not folder.writable:
        raise PermissionError(errno.EACCES, "cannot be written to", str(folder.folder))
    for name, graphs in _convert(checkpoint, path).items():
        if not folder.holds(name) and not folder.keep(name, graphs):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(folder.folder))
    return True


def _is_missing(path: Path, folder: GraphFolder, precision: str, runtime: str) -> bool:
    try:
        document = declared_document(path)
    except CheckpointError:
        return False
    quantized = QUANTIZATION in document
    if precision == _INTEGERS and not quantized:
        return False
    chosen, arithmetic = choose_execution(runtime, precision, "cpu", quantized=quantized)
    return chosen == "openvino" and not folder.renew(_kept_as(document["digest"], arithmetic))


def _kept_as(digest: str, precision: str) -> str:
    """bf16 is made of fp32's by OpenVINO, when it compiles them."""
    return f"{digest} {_INTEGERS}" if precision == _INTEGERS else digest
