"""``rpn serve``."""

import argparse

from service.logs import configure_logging
from service.settings import read_settings


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
    given = {name: value for name in ("host", "port") if (value := getattr(args, name)) is not None}
    settings = read_settings(**given)
    configure_logging(settings.log_level)
    from service.server import serve  # after the settings: a bad value is told at once

    serve(settings)
    return 0
