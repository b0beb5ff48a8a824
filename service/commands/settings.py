"""``rpn settings``."""

import argparse
import sys

from service.settings import current_values, read_settings, setting_rows


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "settings",
        help="print every setting and its value",
        description="Print every setting: its environment variable, type, default and, if set, value.",
    )
    parser.set_defaults(run=run)
    parser.add_argument("--markdown", action="store_true", help="the table of the README, without values")


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    sys.stdout.write(markdown_table() if args.markdown else value_table())
    return 0


def markdown_table() -> str:
    """The settings as a Markdown table."""
    lines = ["| Variable | Type | Default | Meaning |", "|---|---|---|---|"]
    lines += [f"| `{row.name}` | {row.type} | `{row.default}` | {row.description} |" for row in setting_rows()]
    return "\n".join(lines) + "\n"


def value_table() -> str:
    """The settings for a terminal, with the values in force."""
    values = current_values(read_settings())
    blocks = []
    for row in setting_rows():
        value = values[row.name]
        origin = "default" if value == row.default else f"default {row.default}"
        blocks.append(f"{row.name}={value}  ({row.type}, {origin})\n    {row.description}\n")
    return "".join(blocks)
