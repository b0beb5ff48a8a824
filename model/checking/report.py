"""What a check found: for people, grouped, with the first of each group; for programs, all of it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.checking.statistics import Statistics
from model.training.faults import Fault, FaultKind, Severity


@dataclass(frozen=True, slots=True)
class DataReport:
    """``files``: each split's annotation file, by the split's name; ``statistics``: by the same names."""

    files: dict[str, Path]
    statistics: dict[str, Statistics]
    faults: list[Fault]

    def groups(self) -> dict[FaultKind, list[Fault]]:
        """The faults by kind, the gravest first; kinds that were not found are not in it."""
        found = {kind: [fault for fault in self.faults if fault.kind is kind] for kind in FaultKind}
        return {kind: faults for kind, faults in found.items() if faults}

    def count(self, severity: Severity) -> int:
        """How many faults are this bad."""
        return sum(fault.kind.severity is severity for fault in self.faults)

    def to_text(self, examples: int = 3) -> str:
        """For people: statistics, then each kind of fault with its count and the first ``examples``."""
        lines = [line for name in self.files for line in self._split_lines(name)]
        for severity in Severity:
            if self.count(severity):
                lines += ["", f"{severity.value}s", *self._fault_lines(severity, examples)]
        return "\n".join([*lines, "", ", ".join(_counted(self.count(s), s.value) for s in Severity)])

    def to_dict(self) -> dict[str, Any]:
        """For programs, as JSON: every fault."""
        splits = {
            name: {
                "file": str(file),
                **asdict(self.statistics[name]),
                "boxes_per_picture": round(self.statistics[name].boxes_per_picture, 3),
            }
            for name, file in self.files.items()
        }
        counts = {f"{severity.value}s": self.count(severity) for severity in Severity}
        return {**counts, "splits": splits, "faults": [_group(*group) for group in self.groups().items()]}

    def _split_lines(self, name: str) -> Iterator[str]:
        found = self.statistics[name]
        categories = _counted(len(found.categories), "category", "categories")
        yield f"{name}: {self.files[name]}"
        yield (
            f"  {_counted(found.pictures, 'picture')} ({found.without_boxes:,} without boxes), "
            f"{_counted(found.boxes, 'box', 'boxes')} ({found.boxes_per_picture:.1f} a picture), "
            f"{_counted(found.ignored, 'region')} to ignore, {categories}"
        )
        shares = (f"{size} {count:,} ({count / max(1, found.boxes):.0%})" for size, count in found.sizes.items())
        yield f"  {', '.join(shares)}: under 32^2 pixels, under 96^2, and larger"

    def _fault_lines(self, severity: Severity, examples: int) -> Iterator[str]:
        for kind, faults in self.groups().items():
            if kind.severity is severity:
                yield f"  {len(faults):,} {kind.title} [{kind.slug}]"
                yield from (f"    {fault}" for fault in faults[:examples])
                if len(faults) > examples:
                    yield f"    and {len(faults) - examples:,} more"


def _group(kind: FaultKind, faults: list[Fault]) -> dict[str, Any]:
    records = [{"file": str(fault.file), "record": fault.record, "detail": fault.detail} for fault in faults]
    return {
        "kind": kind.slug,
        "severity": kind.severity.value,
        "title": kind.title,
        "count": len(faults),
        "records": records,
    }


def _counted(count: int, noun: str, plural: str | None = None) -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
