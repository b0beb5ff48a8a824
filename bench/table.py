"""Results as Markdown."""

from dataclasses import dataclass

from bench.rounds import Samples


@dataclass(frozen=True, slots=True)
class Table:
    """A header and rows of as many cells."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        lines = [self.header, ("---",) * len(self.header), *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


# What `spread_of` gives, for a page's method.
SPREAD = "medians, in brackets the middle eight tenths of the rounds (of fewer than ten, all of them)"


def spread_of(samples: Samples, digits: int) -> str:
    """The median, and from where to where the middle eight tenths lie.

    >>> spread_of(Samples((1.0, 2.0, 4.0)), 1)
    '2.0 (1.0 - 4.0)'
    """
    low, high = samples.spread
    return f"{samples.median:.{digits}f} ({low:.{digits}f} - {high:.{digits}f})"
