"""Networks made ready in a process of their own, before this one loads them: what that takes, torch, ends with it."""

import asyncio
import logging
import sys
import time

from model.preparation import unprepared
from service.settings import Settings

_log = logging.getLogger("service")


async def prepare_models(settings: Settings) -> None:
    """Convert the networks that OpenVINO has not been given yet; at most starts they all are.

    Where it fails, it is the loading's turn to convert, and to say what is wrong.
    """
    paths = unprepared(
        [source.path for source in settings.models],
        device=settings.device,
        precision=settings.precision,
        runtime=settings.runtime,
        cache=settings.cache_dir,
    )
    if not paths:
        return
    _log.info("converting networks, once", extra={"models": len(paths), "cache": str(settings.cache_dir)})
    started = time.perf_counter()
    command = ("-m", "service.cli", "weights", "prepare", "--cache", str(settings.cache_dir), *map(str, paths))
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.DEVNULL)
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:  # told to leave meanwhile
            process.kill()
    seconds = round(time.perf_counter() - started, 1)
    if status == 0:
        _log.info("networks converted", extra={"seconds": seconds})
    else:
        _log.warning("networks were not converted in another process; this one does it", extra={"status": status})
