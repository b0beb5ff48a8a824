"""The report's page: its style, and the pieces that it is made of, as HTML."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

_STYLE = """
:root { color-scheme: light; --ink: #1a2026; --soft: #56616c; --rule: #dde2e7; --ground: #f4f6f8; --accent: #0072b2 }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
main { max-width: 1120px; margin: 0 auto; padding: 36px 24px 64px }
h1 { font-size: 28px; line-height: 1.2; margin: 0; letter-spacing: -.01em }
h2 { font-size: 20px; margin: 44px 0 4px }
h3 { font-size: 14px; margin: 0 0 6px; font-weight: 600 }
p { margin: 6px 0 14px; max-width: 76ch }
.lead { color: var(--soft); margin-top: 6px }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-top: 22px }
.card { background: #fff; border: 1px solid var(--rule); border-radius: 10px; padding: 14px 16px }
.tile b { display: block; font-size: 26px; line-height: 1.25; font-weight: 650; font-variant-numeric: tabular-nums }
.tile span { color: var(--soft); font-size: 13px }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 14px }
svg { display: block; width: 100%; height: auto; font-family: inherit }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: 6px 12px; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap }
tr:last-child > * { border-bottom: 0 }
th { font-weight: 600 } thead th { color: var(--soft); font-size: 13px }
tbody th, thead th:first-child { text-align: left }
th { white-space: normal } thead th { vertical-align: bottom }
tbody th { min-width: 170px; overflow-wrap: anywhere }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere }
.facts th { width: 1%; min-width: 0; white-space: nowrap; color: var(--soft); vertical-align: top }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 14px }
figure.card { margin: 0; padding: 0; overflow: hidden }
figure div { background: #e3e8ec; height: 330px; display: flex; align-items: center; justify-content: center }
figure img { max-width: 100%; max-height: 100%; display: block }
figcaption { padding: 9px 14px 11px; font-size: 13px; color: var(--soft); overflow-wrap: anywhere }
figcaption b { color: var(--ink); font-weight: 600; display: block }
.key { max-width: none } .key span { white-space: nowrap; margin-right: 22px }
.key i { display: inline-block; width: 16px; height: 12px; margin-right: 7px; border: 3px solid; background: #2b333b }
.block { margin-top: 14px } h3.block { margin-top: 22px }
details { margin-top: 12px } summary { cursor: pointer; color: var(--accent) }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12px; line-height: 1.45; margin: 8px 0 0 }
@media print { body { background: #fff } .card { break-inside: avoid } h2 { break-after: avoid } }
"""
# Nothing may be fetched: what a browser shows is in the file.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def shown(value: float, digits: int = 3) -> str:
    """The figure as text, or a dash where there was nothing to measure."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def page(title: str, body: Iterable[str]) -> str:
    """A whole HTML document that needs nothing from anywhere else; ``body`` is HTML already."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>",
            *body,
            "</main></body></html>\n",
        ]
    )


def heading(text: str, level: int = 2) -> str:
    """A heading; level 1 is the page's own."""
    return f'<h{level} class="block">{escape(text)}</h{level}>' if level > 2 else f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """Plain text as a paragraph; ``kind`` is a class of the style."""
    return f'<p class="{escape(kind)}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def colour_key(meanings: Mapping[str, str]) -> str:
    """What each colour in the pictures stands for: colour to meaning."""
    entries = (
        f'<span><i style="border-color:{escape(c)}"></i>{escape(meaning)}</span>' for c, meaning in meanings.items()
    )
    return f'<p class="key">{"".join(entries)}</p>'


def tiles(figures: Mapping[str, str]) -> str:
    """The figures that matter most, large: what each is called, and its value."""
    cells = (f'<div class="card tile"><b>{escape(v)}</b><span>{escape(n)}</span></div>' for n, v in figures.items())
    return f'<div class="tiles">{"".join(cells)}</div>'


def charts(drawings: Iterable[tuple[str, str]]) -> str:
    """Charts side by side: the title and the SVG of each."""
    cells = (f'<div class="card"><h3>{escape(title)}</h3>{svg}</div>' for title, svg in drawings)
    return f'<div class="charts block">{"".join(cells)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of figures, the first cell of each its name."""
    columns = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(c)}</td>" for c in cells)}</tr>'
        for name, *cells in rows
    )
    return f'<div class="card scroll block"><table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>'


def facts(rows: Mapping[str, str]) -> str:
    """Names and values, one pair a line."""
    body = "".join(f'<tr><th scope="row">{escape(n)}</th><td>{escape(v)}</td></tr>' for n, v in rows.items())
    return f'<div class="card scroll block"><table class="facts"><tbody>{body}</tbody></table></div>'


def figure(address: str, heading: str, caption: str) -> str:
    """A picture and what to say of it."""
    return (
        f'<figure class="card"><div><img src="{escape(address)}" alt="{escape(heading)}"></div>'
        f"<figcaption><b>{escape(heading)}</b> {escape(caption)}</figcaption></figure>"
    )


def gallery(figures: Iterable[str]) -> str:
    """Figures side by side."""
    return f'<div class="gallery block">{"".join(figures)}</div>'


def folded(summary: str, text: str) -> str:
    """Text that is there for who wants it."""
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"
