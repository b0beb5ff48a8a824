"""The process: listens, serves, and leaves as load balancers like it.

On SIGTERM readiness turns 503 first and the service goes on serving for a grace, so that nothing is sent here when
the port closes; then what was accepted is finished, and the process exits 0. SIGINT skips the grace. A second
signal ends the process at once.
"""

import asyncio
import logging
import math
import os
import signal
import socket
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import NoReturn

import uvicorn

from service.app import create_app, load_predictor
from service.engine import Engine, LoadedModel, LoadPredictor
from service.errors import EngineFailed, StartupError
from service.garbage import spare_what_is_loaded
from service.http_protocol import BoundedHeads
from service.interpreter_lock import pass_it_on_sooner
from service.lifecycle import Lifecycle, Phase
from service.preparing import prepare_models
from service.settings import Settings, unknown_names
from service.state import Service, prepare_nothing

_log = logging.getLogger("service.server")

# Connections that wait in the kernel while the event loop is busy; more than the permits, so that 429 can be told.
_BACKLOG = 1024
# For answers that tell of a lost device to leave.
_LOST_PATIENCE_S = 2


def serve(settings: Settings, load: LoadPredictor | None = None) -> None:
    """Serve until a signal ends it.

    Raises:
        StartupError: the address cannot be listened on.
        EngineFailed: the device was lost.
        Exception: whatever a model's loading failed with.
    """
    for name in unknown_names(os.environ):
        _log.warning("%s is none of our settings; misspelt?", name)
    load, prepare = (load, prepare_nothing) if load else (_real_load(settings), prepare_models)
    service = Service(settings, load, prepare, _have_the_interpreter)
    listener = listen(settings.host, settings.port)
    config = uvicorn.Config(
        create_app(service),
        http=BoundedHeads,
        ws="none",
        log_config=None,
        log_level="warning",  # its lines on starting and stopping would repeat ours
        access_log=False,
        server_header=False,
        timeout_keep_alive=math.ceil(settings.keep_alive_s),
        # What was accepted ends by itself within this time; a caller that reads his answer too slowly is cut off.
        timeout_graceful_shutdown=math.ceil(settings.upload_timeout_s + settings.deadline_s),
    )
    _log.info("listening on %s", _url(listener))
    GracefulServer(config, service.lifecycle, service.engine, grace_s=settings.drain_grace_s).run(sockets=[listener])
    if service.lifecycle.failure is not None:
        raise service.lifecycle.failure
    _log.info("stopped")
    if service.engine.running:  # deep in a load or a hung device; the interpreter must not be taken apart under it
        _end(0)


def _have_the_interpreter(models: Sequence[LoadedModel]) -> None:
    """What only a process that is the service's alone may do to Python, once its models are loaded."""
    spare_what_is_loaded()
    if any(model.device != "cpu" for model in models):
        pass_it_on_sooner()


def _real_load(settings: Settings) -> LoadPredictor:
    return partial(
        load_predictor,
        precision=settings.precision,
        runtime=settings.runtime,
        lanes=settings.lanes,
        cache=settings.cache_dir,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        StartupError: the address is taken, not ours, or not an address.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # The IPv6 address for all is for IPv4's, too, as in other servers; the container's health check asks by that.
        both = address[0] == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server((str(address[0]), port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except (OSError, UnicodeError) as error:  # the latter of what can be no name: an empty part, or a long one
        raise StartupError(f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}") from error
    # Connections inherit it. asyncio would set it on sockets that it opens itself; without it an answer in two parts
    # waits up to 40 ms, until the caller has acknowledged the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class GracefulServer(uvicorn.Server):
    """uvicorn's server with this service's way to leave."""

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, engine: Engine, *, grace_s: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._engine = engine
        self._grace_s = grace_s
        self._signals = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; notes the loop, for the signal handler."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets=sockets)

    async def on_tick(self, counter: int) -> bool:
        """As uvicorn's; also ends a process whose models could not be loaded, or whose device is lost.

        Whoever started it starts it again: not all do for a probe that fails (Docker does not). In the grace, too: it
        could only be spent on answering 503.
        """
        if self._lifecycle.phase in (Phase.READY, Phase.LEAVING) and not self._engine.alive:
            self._lifecycle.failed(EngineFailed("the device is lost; only a new process can go on"))
            self.config.timeout_graceful_shutdown = _LOST_PATIENCE_S  # what is still being uploaded cannot be answered
        return await super().on_tick(counter) or self._lifecycle.phase is Phase.FAILED

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Leave gently at the first signal, at once at the second.

        uvicorn's own would raise the signal again at the end, and the process would not exit 0.
        """
        self._signals += 1
        if self._signals > 1:
            _end(128 + sig)
        if self._loop is None:  # nothing can be in hand
            _end(0 if sig == signal.SIGTERM else 128 + sig)
        serving = self._lifecycle.phase is Phase.READY
        grace_s = self._grace_s if sig == signal.SIGTERM and serving else 0.0
        self._loop.call_soon_threadsafe(self._leave, grace_s)

    def _leave(self, grace_s: float) -> None:
        _log.info("leaving", extra={"grace_s": grace_s})
        self._lifecycle.leave()
        asyncio.get_running_loop().call_later(grace_s, self._drain)

    def _drain(self) -> None:
        _log.info("draining")
        self._lifecycle.drain()
        self.should_exit = True


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _end(status: int) -> NoReturn:
    logging.shutdown()
    os._exit(status)
