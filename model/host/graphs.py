"""A network's operations as OpenVINO reads them, and the folder where they are kept from one start to the next.

Recording them takes torch and seconds (`model.network.openvino_graphs`); reading them takes neither.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import model.network

_log = logging.getLogger("model.graphs")

# Where they are kept unless somebody says otherwise.
DEFAULT_CACHE = Path("~/.cache/region-proposal-service")

_CONVOLUTIONS = "convolutions.xml"
_REFINEMENT = "refinement.xml"
_FACTS = "facts.json"
# What is kept of as many checkpoints: of a network like those that ship each takes some 25 MB.
_KEPT = 16


@dataclass(frozen=True, slots=True)
class Graphs:
    """OpenVINO models for pictures of any size.

    ``convolutions``: normalised pictures, float32 (N, H, W, 3), to L times logits, L times deltas and for a second
    stage L times features, all (N, H_l, W_l, channels). ``refinement``: the second stage on one picture's boxes, None
    where there is none. ``strides``: canvas pixels between neighbouring places, per level.
    """

    convolutions: Any
    refinement: Any
    strides: tuple[int, ...]


class GraphFolder:
    """Keeps the graphs of checkpoints by their digest, of whichever process asked first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, digest: str) -> Graphs | None:
        """The graphs of a checkpoint; None if they are not kept, or not readable."""
        place = self._place(digest)
        if not place.is_dir():
            return None
        try:
            found = _read(place)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            _log.warning("%s is damaged and is made again: %s", place, error)
            shutil.rmtree(place, ignore_errors=True)
            return None
        with contextlib.suppress(OSError):  # another user's folder
            os.utime(place)  # in use: the last to be dropped
        return found

    def keep(self, digest: str, graphs: Graphs) -> None:
        """Keep them, whole or not at all; where nothing can be written it is said, and they are made at each start."""
        place = self._place(digest)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=self.folder))
            try:
                _write(partial, graphs)
                partial.chmod(0o755)  # who may read the folder may read what is in it: another user may serve
                partial.rename(place)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            self._drop_oldest()
        except (OSError, RuntimeError) as error:
            if not place.exists():  # another process was quicker
                _log.warning("converted networks cannot be kept in %s, each start takes longer: %s", self.folder, error)

    @property
    def writable(self) -> bool:
        """Whether anything can be kept; the folder is made where it can be."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return False
        return os.access(self.folder, os.W_OK)

    def holds(self, digest: str) -> bool:
        """Whether they are kept."""
        return (self._place(digest) / _FACTS).is_file()

    def _place(self, digest: str) -> Path:
        """By all that they depend on: the checkpoint, the code that describes its network, and OpenVINO."""
        key = f"{digest} {_code()} {metadata.version('openvino')}"
        return self.folder / hashlib.sha256(key.encode()).hexdigest()[:32]

    def _drop_oldest(self) -> None:
        kept = sorted(self.folder.glob("*/"), key=lambda place: place.stat().st_mtime)
        for place in kept[:-_KEPT]:
            shutil.rmtree(place, ignore_errors=True)


def _read(folder: Path) -> Graphs:
    from openvino import Core

    core = Core()
    strides = tuple(json.loads((folder / _FACTS).read_text(encoding="utf-8"))["strides"])
    refinement = core.read_model(folder / _REFINEMENT) if (folder / _REFINEMENT).exists() else None
    return Graphs(core.read_model(folder / _CONVOLUTIONS), refinement, strides)


def _write(folder: Path, graphs: Graphs) -> None:
    from openvino import save_model

    save_model(graphs.convolutions, folder / _CONVOLUTIONS, compress_to_fp16=False)
    if graphs.refinement is not None:
        save_model(graphs.refinement, folder / _REFINEMENT, compress_to_fp16=False)
    (folder / _FACTS).write_text(json.dumps({"strides": graphs.strides}), encoding="utf-8")


@cache
def _code() -> str:
    """A digest of the code that describes networks; what an older one had made is made again."""
    digest = hashlib.sha256()
    for folder in model.network.__path__:
        for path in sorted(Path(folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
