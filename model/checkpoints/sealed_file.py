"""A sealed file: tensors and one JSON document in safetensors, under a digest of both.

The metadata hold the document under one key (safetensors writes several in random order, and the same content must
give the same file). It carries a digest of all tensors (names, types, shapes, bytes) and of its own other fields, so
that a file that was changed on its way is refused. Nothing in a file is ever run: safetensors holds plain arrays, and
anything else is refused by name.
"""

import hashlib
import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, deserialize

from model.errors import CheckpointError

if TYPE_CHECKING:  # a file can be read and checked without torch, which a CPU's service does without
    from torch import Tensor

_KEY = "checkpoint"
_DIGEST = "digest"
# safetensors' own bound on its header; past it a file is not worth asking the library about
_MAX_HEADER = 100_000_000
# What safetensors calls the types that are stored, and what torch does.
_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as it lies in a file: ``type`` by torch's name (``float16``), shape, and its bytes row by row."""

    type: str
    shape: tuple[int, ...]
    data: bytes | bytearray

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def is_floating_point(self) -> bool:
        """Whether its type is one of floating point."""
        return "float" in self.type


class StoredTensors(Mapping[str, "Tensor"]):
    """The tensors of a file by name, each made when it is asked for, in memory of its own."""

    def __init__(self, stored: Mapping[str, StoredTensor]) -> None:
        self.stored = stored

    def __getitem__(self, name: str) -> "Tensor":
        import torch

        tensor = self.stored[name]
        kind = getattr(torch, tensor.type)
        if not tensor.elements:
            return torch.empty(tensor.shape, dtype=kind)
        return torch.frombuffer(bytearray(tensor.data), dtype=kind).reshape(tensor.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)


def write_sealed(path: Path, document: dict[str, Any], state_dict: "Mapping[str, Tensor]") -> str:
    """Write the file, whole or not at all, and return its digest, ``sha256:...``."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items()}
    digest = _digest({name: _stored(tensor) for name, tensor in tensors.items()}, document)
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not save_file, which leaves a file that only its owner may read.
    partial.write_bytes(save(tensors, metadata={_KEY: _canonical({**document, _DIGEST: digest})}))
    partial.replace(path)
    return digest


def read_sealed(path: Path) -> tuple[dict[str, Any], StoredTensors, str]:
    """The document, the tensors and their digest, checked against each other.

    Raises:
        CheckpointError: the file is missing, truncated, changed, foreign, or a pickle; one line that says which.
    """
    _check_signature(path)
    try:
        content = path.read_bytes()
        tensors = {
            str(name): StoredTensor(_TYPES[tensor["dtype"]], tuple(tensor["shape"]), tensor["data"])
            for name, tensor in sorted(deserialize(content))  # type: ignore[no-untyped-call]
        }
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: truncated or damaged ({error})") from error
    except KeyError as error:
        raise CheckpointError(f"{path}: holds tensors of type {error}, which no checkpoint of ours has") from error
    metadata = _metadata(content)
    if _KEY not in metadata:
        raise CheckpointError(f"{path}: safetensors, but not a checkpoint of this service (no metadata of ours)")
    try:
        document = dict(json.loads(metadata[_KEY]))
        digest = document.pop(_DIGEST, None)
        found = _digest(tensors, document)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its metadata are not JSON ({error})") from error
    if digest != found:
        raise CheckpointError(f"{path}: its content does not match its own digest: damaged or tampered with")
    return document, StoredTensors(tensors), digest


def declared_document(path: Path) -> dict[str, Any]:
    """What a file says of itself, from its header alone and unchecked, its ``digest`` among it.

    Raises:
        CheckpointError: the file is missing, foreign, or a pickle.
    """
    _check_signature(path)
    try:
        with path.open("rb") as file:
            head = file.read(8)
            content = head + file.read(struct.unpack("<Q", head)[0])
        document = dict(json.loads(_metadata(content)[_KEY]))
        document[_DIGEST] = str(document[_DIGEST])
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of this service") from error
    return document


def _metadata(content: bytes) -> dict[str, str]:
    """The header's own entry; the library, which has checked the header, hands out tensors alone."""
    (length,) = struct.unpack("<Q", content[:8])
    return dict(json.loads(content[8 : 8 + length]).get("__metadata__") or {})


def _stored(tensor: "Tensor") -> StoredTensor:
    import torch

    data = tensor.flatten().view(torch.uint8).numpy().tobytes()
    return StoredTensor(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), data)


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


def _digest(tensors: Mapping[str, StoredTensor], document: dict[str, Any]) -> str:
    sha = hashlib.sha256(_canonical(document).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} torch.{tensor.type} {tensor.shape}".encode())
        sha.update(tensor.data)
    return f"sha256:{sha.hexdigest()}"
