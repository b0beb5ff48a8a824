"""``rpn serve``."""

import argparse
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from service.logs import configure_logging


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "serve",
        help="serve proposals over HTTP",
        description="Serve proposals over HTTP. Settings come from the environment; `rpn settings` lists them.",
    )
    parser.set_defaults(run=run)
    parser.add_argument("--host", help="address to listen on (RPN_HOST)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one (RPN_PORT)")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    with _leaving_at_once():
        from service.settings import read_settings  # what takes time to import waits for the signal's handler

        given = {name: value for name in ("host", "port") if (value := getattr(args, name)) is not None}
        settings = read_settings(**given)
        configure_logging(settings.log_level)
        from service.server import serve  # after the settings: a bad value is told at once

        serve(settings)
    return 0


@contextmanager
def _leaving_at_once() -> Iterator[None]:
    """Until the server has its own way to leave: SIGTERM ends the process with 0, since there is nothing to finish.

    A container's first process has no other way: the kernel keeps from it every signal that it does not handle.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
