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
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import model
from model.host.openvino_core import core

_log = logging.getLogger("model.graphs")

# Where they are kept unless somebody says otherwise.
DEFAULT_CACHE = Path("~/.cache/region-proposal-service")
# The service's own setting (`service.settings`), which its commands go by as well.
_CACHE_SETTING = "RPN_CACHE_DIR"

_CONVOLUTIONS = "convolutions.xml"
_REFINEMENT = "refinement.xml"
_FACTS = "facts.json"
# The folder may be anybody's: only what has these names is ours to drop.
_KEPT = "graphs-"
_PARTIAL = ".partial-graphs-"
# What no start has read for a month is of an old checkpoint, or of old code; what is being written is done in an hour.
_KEPT_S = 30 * 24 * 3600.0
_PARTIAL_S = 3600.0
# What a graph is made of beside the checkpoint: the code that describes networks, what it takes from elsewhere, and how
# they are kept.
_SOURCES = ("network/*.py", "config.py", "host/box_planes.py", "host/graphs.py", "host/integer_weights.py")


@dataclass(frozen=True, slots=True)
class Graphs:
    """OpenVINO models for pictures of any size.

    ``convolutions``: normalised pictures, float32 (N, H, W, 3), to L times logits, L times deltas and for a second
    stage L times features, all (N, H_l, W_l, channels). ``refinement``: the second stage on one picture's boxes, None
    where there is none. ``strides``: canvas pixels between neighbouring places, per level. ``frame``: where the
    convolutions read pixels, uint8 (N, H + 2 * frame, W + 2 * frame, 3) with the mean colour around the picture
    (`model.host.picture_layer`); None where they read normalised pictures.
    """

    convolutions: Any
    refinement: Any
    strides: tuple[int, ...]
    frame: int | None = None


def chosen_cache() -> Path:
    """The folder that the service's setting for it names, or the default."""
    return Path(os.environ.get(_CACHE_SETTING) or DEFAULT_CACHE)


class GraphFolder:
    """Keeps the graphs of checkpoints by their digest, of whichever process asked first.

    A folder that cannot be made or written to keeps nothing. It is nobody's but the user's whom the service trusts: the
    digests that are checked tell damage, not intent.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self.folder = folder.expanduser()
        except RuntimeError:  # a user without a home: nothing can be made below this
            self.folder = Path(os.devnull) / folder.name

    @property
    def writable(self) -> bool:
        """Whether anything can be kept; the folder is made where it can be."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return False
        return os.access(self.folder, os.W_OK)

    def holds(self, digest: str) -> bool:
        """Whether a checkpoint's graphs are kept."""
        # A `Path` raises where it may not look.
        return os.path.isfile(self._place(digest) / _FACTS)  # noqa: PTH113

    def renew(self, digest: str) -> bool:
        """Whether a checkpoint's graphs are kept, and are in use from now on."""
        held = self.holds(digest)
        if held:
            with contextlib.suppress(OSError):  # another user's folder
                os.utime(self._place(digest))
        return held

    def find(self, digest: str) -> Graphs | None:
        """The graphs of a checkpoint; None if they are not kept, or not as they were written."""
        place = self._place(digest)
        if not self.renew(digest):
            return None
        try:
            return _read(place)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RuntimeError) as error:
            _log.warning("%s is damaged and is made again: %s", place, error)
            shutil.rmtree(place, ignore_errors=True)
            return None

    def keep(self, digest: str, graphs: Graphs) -> bool:
        """Keep them, whole or not at all, and say whether they are kept now."""
        place = self._place(digest)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.folder))
            try:
                _write(partial, graphs)
                partial.chmod(0o755)  # who may read the folder may read what is in it: another user may serve
                if not self.holds(digest):  # another process may have been quicker, and others read it
                    shutil.rmtree(place, ignore_errors=True)  # half of one
                    partial.rename(place)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        except (OSError, RuntimeError) as error:
            if not self.holds(digest):
                _log.warning("converted networks cannot be kept in %s, each start takes longer: %s", self.folder, error)
        return self.holds(digest)

    def drop_unused(self) -> None:
        """Drop what nobody has read or renewed for a month, and what was never finished."""
        places: list[tuple[Path, float]] = []
        with contextlib.suppress(OSError):  # it may not be looked into
            for pattern, seconds in ((_KEPT, _KEPT_S), (_PARTIAL, _PARTIAL_S)):
                places += [(place, seconds) for place in self.folder.glob(f"{pattern}*")]
        for place, seconds in places:
            with contextlib.suppress(OSError):  # another process dropped it
                if time.time() - place.stat().st_mtime > seconds:
                    shutil.rmtree(place, ignore_errors=True)

    def _place(self, digest: str) -> Path:
        """By all that they depend on: checkpoint, the code that describes its network, OpenVINO, torch (it traces)."""
        key = f"{digest} {_code()} {_openvino()} {_torch()}"
        return self.folder / f"{_KEPT}{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _read(folder: Path) -> Graphs:
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    if facts["digest"] != _facts_digest(facts["strides"], facts["files"]):
        raise ValueError(f"{_FACTS} has changed")
    for name, digest in facts["files"].items():
        if _file_digest(folder / name) != digest:
            raise ValueError(f"{name} has changed")
    refinement = core().read_model(folder / _REFINEMENT) if _REFINEMENT in facts["files"] else None
    return Graphs(core().read_model(folder / _CONVOLUTIONS), refinement, tuple(map(int, facts["strides"])))


def _write(folder: Path, graphs: Graphs) -> None:
    from openvino import save_model

    assert graphs.frame is None, "what is made of kept graphs is made anew at each start"
    save_model(graphs.convolutions, folder / _CONVOLUTIONS, compress_to_fp16=False)
    if graphs.refinement is not None:
        save_model(graphs.refinement, folder / _REFINEMENT, compress_to_fp16=False)
    files = {path.name: _file_digest(path) for path in sorted(folder.iterdir())}
    facts = {"strides": graphs.strides, "files": files, "digest": _facts_digest(graphs.strides, files)}
    (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")


def _facts_digest(strides: Sequence[int], files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([list(strides), files]).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _code() -> str:
    """A digest of the code that describes networks; what an older one had made is made again."""
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    for folder in model.__path__:
        for pattern in _SOURCES:
            yield from sorted(Path(folder).glob(pattern))


@cache
def _openvino() -> str:
    """OpenVINO's version, without importing it."""
    try:
        return metadata.version("openvino")
    except metadata.PackageNotFoundError:  # installed under another name
        import openvino

        return str(openvino.__version__)


def _torch() -> str:
    """torch's version, by which networks are traced; never imported for it."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "unknown"
