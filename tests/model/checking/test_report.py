from pathlib import Path

from model.checking.report import DataReport
from model.checking.statistics import Statistics
from model.training.faults import Fault, FaultKind, Severity

FILE = Path("data/train.json")
STATISTICS = Statistics(1, 4, 0, 0, {"small": 1, "medium": 3, "large": 0}, {"cat": 4})


def report(*kinds: FaultKind) -> DataReport:
    faults = [Fault(kind, FILE, f"annotations[{i}]", "is bad") for i, kind in enumerate(kinds)]
    return DataReport({"train": FILE}, {"train": STATISTICS}, faults)


def test_the_gravest_come_first_and_the_first_of_each_are_shown():
    text = report(*[FaultKind.NO_BOXES, *[FaultKind.EMPTY_BOX] * 3, FaultKind.LEAK]).to_text(examples=2)
    assert text.splitlines() == [
        "train: data/train.json",
        "  1 picture (0 without boxes), 4 boxes (4.0 a picture), 0 regions to ignore, 1 category",
        "  small 1 (25%), medium 3 (75%), large 0 (0%): under 32^2 pixels, under 96^2, and larger",
        "",
        "errors",
        "  1 the same picture in two splits [leak]",
        "    data/train.json: annotations[4]: is bad",
        "",
        "warnings",
        "  3 boxes without area (dropped) [empty-box]",
        "    data/train.json: annotations[1]: is bad",
        "    data/train.json: annotations[2]: is bad",
        "    and 1 more",
        "",
        "notes",
        "  1 pictures without boxes (all background) [no-boxes]",
        "    data/train.json: annotations[0]: is bad",
        "",
        "1 error, 3 warnings, 1 note",
    ]


def test_the_dictionary_holds_every_fault():
    content = report(*[FaultKind.EMPTY_BOX] * 5).to_dict()
    assert (content["errors"], content["warnings"], content["notes"]) == (0, 5, 0)
    (group,) = content["faults"]
    assert (group["kind"], group["severity"], group["count"]) == ("empty-box", "warning", 5)
    assert group["records"][4] == {"file": "data/train.json", "record": "annotations[4]", "detail": "is bad"}
    assert content["splits"]["train"]["sizes"] == STATISTICS.sizes
    assert content["splits"]["train"]["boxes_per_picture"] == 4


def test_every_kind_has_a_name_of_its_own():
    assert len({kind.slug for kind in FaultKind}) == len(FaultKind)
    assert {kind.severity for kind in FaultKind} == set(Severity)
