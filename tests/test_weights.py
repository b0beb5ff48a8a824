"""What ships: every checkpoint loads, fits its card, and was trained."""

import re
from pathlib import Path

import pytest

from model.checkpoints.checkpoint import file_sha256, load_checkpoint
from model.checkpoints.restore import restore_network
from model.evaluation.quantization import MOST_LOST

WEIGHTS = Path(__file__).parents[1] / "weights"
SHIPPED = sorted(WEIGHTS.glob("*.safetensors"))


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
    trained, *integers, untrained = checkpoint.metrics.values()
    assert trained["AR@100"] >= 5 * untrained["AR@100"]
    assert len(integers) == (checkpoint.quantization is not None)
    for name in ("AR@100", "AR@1000"):
        assert all(trained[name] - figures[name] <= MOST_LOST for figures in integers)
    row = re.search(r"^\| all \| .*", card, re.MULTILINE)
    assert row is not None
    assert f"{trained['AR@100']:.3f}" in row.group()
