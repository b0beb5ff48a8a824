"""A part's results as a page of Markdown, its plots beside it."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.table import Table


@dataclass(frozen=True, slots=True)
class Page:
    """What a part found. ``name`` is its file's; ``plots``: an SVG by its name.

    ``fault``: what it found to be wrong, boxes that differ or memory that grows; never that something is slow.
    """

    name: str
    title: str
    method: str
    tables: tuple[Table | str, ...]
    plots: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None

    def markdown(self, machine: Mapping[str, str], command: str) -> str:
        """The page: what was measured, where, when, and by which command."""
        facts = "\n".join(f"- {name}: {value}" for name, value in machine.items())
        pictures = [f"![{name}]({self.file_of(name)})" for name in self.plots]
        now = datetime.datetime.now(tz=datetime.UTC)
        parts = [
            f"# {self.title}",
            f"{now:%Y-%m-%d %H:%M} UTC, by {command}. {self.method}",
            facts,
            *map(str, self.tables),
            *pictures,
        ]
        return "\n\n".join(parts) + "\n"

    def file_of(self, plot: str) -> str:
        """A plot's file, beside the page."""
        return f"{self.name}-{plot.replace(' ', '-').replace(',', '')}.svg"

    def write(self, folder: Path, machine: Mapping[str, str], command: str) -> str:
        """Write the page and its plots; the page's text."""
        folder.mkdir(parents=True, exist_ok=True)
        text = self.markdown(machine, command)
        (folder / f"{self.name}.md").write_text(text, encoding="utf-8")
        for plot, svg in self.plots.items():
            (folder / self.file_of(plot)).write_text(svg + "\n", encoding="utf-8")
        return text


def said(command: str, *, quick: bool) -> str:
    """A command as a page names it; a quick run's figures must not be taken for a measurement."""
    return f"`{command} --quick`, which only shows that it runs: its figures mean nothing" if quick else f"`{command}`"
