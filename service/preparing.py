"""Networks made ready in a process of their own, before this one loads them: what that takes, torch, ends with it."""

import asyncio
import logging
import os
import sys
import time
from functools import partial
from pathlib import Path

import service
from model.preparation import unprepared
from service.engine import RunOnThread
from service.settings import Settings

_log = logging.getLogger("service")


async def prepare_models(settings: Settings, run: RunOnThread) -> None:
    """Convert the networks that OpenVINO has not been given yet; at most starts they all are.

    Where it fails, it is the loading's turn to convert, and to say what is wrong.
    """
    paths: list[Path] = await run(partial(_unprepared, settings))  # a GPU's driver may take its time to answer
    if not paths:
        return
    _log.info("converting networks, once", extra={"models": len(paths), "cache": str(settings.cache_dir)})
    started = time.perf_counter()
    outcome = await _convert(paths, settings.cache_dir)
    if outcome is None:
        _log.info("networks converted", extra={"seconds": round(time.perf_counter() - started, 1)})
    else:
        _log.warning("networks were not converted in another process; this one does it", extra={"reason": outcome})


def _unprepared(settings: Settings) -> list[Path]:
    return unprepared(
        [source.path for source in settings.models],
        device=settings.device,
        precision=settings.precision,
        runtime=settings.runtime,
        cache=settings.cache_dir,
    )


async def _convert(paths: list[Path], cache: Path) -> str | None:
    """Run `rpn weights prepare`; why it failed, or None."""
    # This very code, and none that lies in the current directory.
    code = os.pathsep.join(filter(None, (str(Path(service.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    command = ("-P", "-m", "service.cli", "weights", "prepare", "--cache", str(cache), *map(str, paths))
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=asyncio.subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": code}
        )
    except (OSError, TypeError) as error:  # no such interpreter, no memory for it, none allowed
        return str(error)
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:  # told to leave meanwhile
            process.kill()
            await process.wait()
    return None if status == 0 else f"it ended with status {status}"
