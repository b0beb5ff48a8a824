"""The lock of a run's folder: two trainings that write the same files would leave neither's."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from model.errors import DataError

LOCK_FILE = "lock"

_held: set[IO[str]] = set()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder, which is made where it is missing, against other trainings on this machine.

    The kernel lets go of an flock when the process that holds it ends in whatever way, so that a crash leaves none;
    the file itself stays, and means nothing by being there.

    Raises:
        DataError: another training holds the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise DataError(f"{folder}: is a file; a run needs a folder of its own") from error
    with (folder / LOCK_FILE).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip()
            raise DataError(f"{folder}: another training {holder} writes there; wait for it or stop it") from error
        file.truncate(0)
        file.write(f"(process {os.getpid()})")
        file.flush()
        _held.add(file)
        try:
            yield
        finally:
            _held.discard(file)


def _let_go() -> None:
    """A forked child shares its parent's lock, and a worker that outlives a killed training would go on holding it."""
    for file in _held:
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
