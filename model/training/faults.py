"""What can be wrong with a data set, and the two ways of taking it: stop at the first, or go on and list them all.

The parsers hand every fault to a `Report`. Training hands them `stop`, which raises at what would stop or mislead it;
`rpn data check` hands them a list's ``append``. So both read with the same code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import ParamSpec, TypeVar

from model.errors import DataError

P = ParamSpec("P")
T = TypeVar("T")


class Severity(StrEnum):
    """``error``: training stops at it, or its figures would be false; ``warning``: it trains, with labels lost or
    doubtful; ``note``: worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class FaultKind(Enum):
    """Every kind of fault: its name in reports, how bad it is, and what its group is titled."""

    UNREADABLE_ANNOTATIONS = ("unreadable-annotations", Severity.ERROR, "annotation files that cannot be read")
    BAD_RECORD = ("bad-record", Severity.ERROR, "records that cannot be used")
    NON_FINITE_BOX = ("non-finite-box", Severity.ERROR, "boxes that are not finite")
    UNKNOWN_IMAGE = ("unknown-image", Severity.ERROR, "annotations of unknown pictures")
    DUPLICATE_ID = ("duplicate-id", Severity.ERROR, "picture ids that are used twice")
    MISSING_PICTURE = ("missing-picture", Severity.ERROR, "pictures that are not there")
    UNDECODABLE_PICTURE = ("undecodable-picture", Severity.ERROR, "pictures that cannot be decoded")
    WRONG_SIZE = ("wrong-size", Severity.ERROR, "pictures of another size than annotated")
    TURNED_SIZE = ("exif-turned-size", Severity.ERROR, "pictures annotated as stored, but turned by EXIF when shown")
    NO_SPLIT = ("no-split", Severity.ERROR, "splits that training asks for and that are not there")
    NO_PICTURES = ("no-pictures", Severity.ERROR, "splits without a usable picture")
    NO_OBJECTS = ("no-objects", Severity.ERROR, "splits without a box to learn from or to find")
    LEAK = ("leak", Severity.ERROR, "the same picture in two splits")
    EMPTY_BOX = ("empty-box", Severity.WARNING, "boxes without area (dropped)")
    OUTSIDE_BOX = ("outside-box", Severity.WARNING, "boxes outside their picture (dropped)")
    CLIPPED_BOX = ("partly-outside-box", Severity.WARNING, "boxes partly outside their picture (clipped)")
    THIN_BOX = ("thin-box", Severity.WARNING, "boxes too thin on the network's canvas to be learnt")
    DUPLICATE_BOX = ("duplicate-box", Severity.WARNING, "boxes that are annotated twice")
    DUPLICATE_FILE_NAME = ("duplicate-file-name", Severity.WARNING, "picture files that two records name")
    DUPLICATE_PICTURE = ("duplicate-picture", Severity.WARNING, "the same picture under two file names of a split")
    UNKNOWN_CATEGORY = ("unknown-category", Severity.WARNING, "boxes of an unknown category")
    DUPLICATE_CATEGORY = ("duplicate-category", Severity.WARNING, "categories of one id")
    TURNED_PICTURE = ("exif-turned-picture", Severity.NOTE, "pictures that EXIF turns, annotated as shown")
    NO_BOXES = ("no-boxes", Severity.NOTE, "pictures without boxes (all background)")
    UNNAMED_PICTURE = ("unnamed-picture", Severity.NOTE, "pictures in the folder that no record read here names")

    def __init__(self, slug: str, severity: Severity, title: str) -> None:
        self.slug = slug
        self.severity = severity
        self.title = title


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong, in ``file``, at ``record`` of it (empty where the file as a whole is meant)."""

    kind: FaultKind
    file: Path
    record: str
    detail: str

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.file), self.record, self.detail) if part)


Report = Callable[[Fault], None]


class RecordError(DataError):
    """A `Fault`, raised."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def stop(fault: Fault) -> None:
    """The report of a reader that takes no errors, and lets warnings and notes pass.

    Raises:
        RecordError: the fault is an error.
    """
    if fault.kind.severity is Severity.ERROR:
        raise RecordError(fault)


def attempt(report: Report, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """What ``read`` returns; where it raises `RecordError`, the fault is reported and there is None."""
    try:
        return read(*args, **kwargs)
    except RecordError as error:
        report(error.fault)
        return None
