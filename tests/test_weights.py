"""What ships: every checkpoint loads, fits its card, and was trained."""

import re
from pathlib import Path

import pytest

from model.checkpoints.checkpoint import file_sha256, load_checkpoint
from model.checkpoints.restore import restore_network
from model.evaluation.quantization import MOST_LOST
from model.evaluation.recall import BUDGETS

WEIGHTS = Path(__file__).parents[1] / "weights"
SHIPPED = sorted(WEIGHTS.glob("*.safetensors"))
# Whoever trains anew ships nothing that finds less, in fp32 or in int8.
FLOORS = {
    "general": {"AR@100": 0.44, "AR@1000": 0.55},
    "pedestrian": {"R@10/0.5": 0.72, "R@100/0.5": 0.88},
    "face": {"R@10/0.5": 0.85, "R@100/0.5": 0.95},
}
# The rows of a card's table of recall, and what the checkpoint calls their figures.
FIGURES_OF = {
    "all": "AR@{}",
    "small": "AR@{}/small",
    "medium": "AR@{}/medium",
    "large": "AR@{}/large",
    "recall at IoU 0.5": "R@{}/0.5",
    "recall at IoU 0.7": "R@{}/0.7",
}


def test_the_three_ship_and_are_small_together():
    assert [path.stem for path in SHIPPED] == ["face", "general", "pedestrian"]
    assert sum(path.stat().st_size for path in SHIPPED) < 60_000_000


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_each_is_sound_small_and_carded(path: Path):
    checkpoint = load_checkpoint(path)
    restore_network(checkpoint, path)
    assert checkpoint.name == path.stem
    assert path.stat().st_size < 40_000_000
    card = path.with_suffix(".md").read_text()
    assert file_sha256(path) in card
    assert checkpoint.digest in card
    trained, *integers, _ = checkpoint.metrics.values()  # the last is the network before training
    for figures in (trained, *integers):
        assert {name: figures[name] for name, least in FLOORS[path.stem].items() if figures[name] < least} == {}
    assert len(integers) == (checkpoint.quantization is not None)
    for name in ("AR@100", "AR@1000"):
        assert all(trained[name] - figures[name] <= MOST_LOST for figures in integers)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_each_card_states_the_checkpoints_own_figures(path: Path):
    checkpoint, card = load_checkpoint(path), path.with_suffix(".md").read_text()
    stated = dict(re.findall(r"^Average recall \(.*?\) on (.*?):\n\n((?:\|.*\n)+)", card, re.MULTILINE))
    assert list(stated) == list(checkpoint.metrics)
    for place, figures in checkpoint.metrics.items():
        head, _, *rows = stated[place].splitlines()
        assert cells(head) == ["proposals", *map(str, BUDGETS)]
        assert [cells(row)[0] for row in rows] == list(FIGURES_OF)
        for name, *shown in map(cells, rows):
            assert shown == [f"{figures[FIGURES_OF[name].format(budget)]:.3f}" for budget in BUDGETS], (place, name)


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]
