"""A sealed file: tensors and one JSON document in safetensors, under a digest of both.

The metadata hold the document under one key (safetensors writes several in random order, and the same content must
give the same file). It carries a digest of all tensors (names, types, shapes, bytes) and of its own other fields, so
that a file that was changed on its way is refused. Nothing in a file is ever run: safetensors holds plain arrays, and
anything else is refused by name.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from model.errors import CheckpointError

_KEY = "checkpoint"
_DIGEST = "digest"
# safetensors' own bound on its header; past it a file is not worth asking the library about
_MAX_HEADER = 100_000_000


def write_sealed(path: Path, document: dict[str, Any], state_dict: Mapping[str, Tensor]) -> str:
    """Write the file, whole or not at all, and return its digest, ``sha256:...``."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items()}
    digest = _digest(tensors, document)
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not save_file, which leaves a file that only its owner may read.
    partial.write_bytes(save(tensors, metadata={_KEY: _canonical({**document, _DIGEST: digest})}))
    partial.replace(path)
    return digest


def read_sealed(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], str]:
    """The document, the tensors and their digest, checked against each other.

    Raises:
        CheckpointError: the file is missing, truncated, changed, foreign, or a pickle; one line that says which.
    """
    _check_signature(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = dict(file.metadata() or {})
            if _KEY not in metadata:
                raise CheckpointError(
                    f"{path}: safetensors, but not a checkpoint of this service (no metadata of ours)"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: truncated or damaged ({error})") from error
    try:
        document = dict(json.loads(metadata[_KEY]))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its metadata are not JSON ({error})") from error
    digest = document.pop(_DIGEST, None)
    if digest != _digest(tensors, document):
        raise CheckpointError(f"{path}: its content does not match its own digest: damaged or tampered with")
    return document, tensors, digest


def _check_signature(path: Path) -> None:
    """Refuse, by what they are, the files that people hand in by mistake, before a parser sees them."""
    try:
        with path.open("rb") as file:
            head = file.read(8 + 1)
        size = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
    if len(head) == 9 and head[8:] == b"{" and (header := struct.unpack("<Q", head[:8])[0]) <= _MAX_HEADER:
        if header + 8 > size:
            raise CheckpointError(f"{path}: truncated or damaged (its header needs {header + 8} bytes, it has {size})")
        return
    if head.startswith((b"PK", b"\x80")):
        raise CheckpointError(f"{path}: a pickle or PyTorch archive, which can run code: only safetensors are read")
    if len(head) < 9:
        raise CheckpointError(f"{path}: truncated or damaged ({size} bytes)")
    raise CheckpointError(f"{path}: not a safetensors file")


def _canonical(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, allow_nan=False)


def _digest(tensors: Mapping[str, Tensor], document: dict[str, Any]) -> str:
    sha = hashlib.sha256(_canonical(document).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return f"sha256:{sha.hexdigest()}"
