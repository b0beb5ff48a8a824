from typing import Any

import pytest
import torch

from model.errors import ConfigError
from model.training.sampler import AnchorSampler


def sample(labels: torch.Tensor, seed: int = 0, **settings: float) -> tuple[torch.Tensor, torch.Tensor]:
    return AnchorSampler(**settings)(labels, torch.Generator().manual_seed(seed))


def test_at_most_half_foreground_and_always_the_full_number():
    labels = torch.zeros(3, 1000, dtype=torch.int8)
    labels[0, :500] = 1
    labels[1, :10] = 1
    labels[:, 900:] = -1
    foreground, background = sample(labels)
    assert foreground.sum(dim=1).tolist() == [128, 10, 0]
    assert background.sum(dim=1).tolist() == [128, 246, 256]
    assert (labels[foreground] == 1).all()
    assert (labels[background] == 0).all()


def test_fewer_anchors_than_asked_for():
    foreground, background = sample(torch.tensor([[1, 1, 0, -1]], dtype=torch.int8))
    assert foreground.tolist() == [[True, True, False, False]]
    assert background.tolist() == [[False, False, True, False]]


def test_the_choice_is_random_and_repeatable():
    labels = torch.zeros(1, 2000, dtype=torch.int8)
    first, again, other = (sample(labels, seed)[1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_candidate_is_as_likely():
    labels = torch.zeros(4000, 40, dtype=torch.int8)
    counts = sample(labels, per_picture=10)[1].float().mean(dim=0)
    assert (counts - 0.25).abs().max() < 0.04


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"per_picture": 0}, "anchors per picture must be at least 1, not 0"),
        ({"foreground_share": 0.0}, r"foreground_share must lie in \(0, 1\], not 0.0"),
        ({"foreground_share": 1.5}, "not 1.5"),
        ({"foreground_share": float("nan")}, "not nan"),
    ],
)
def test_a_sample_of_nothing_is_refused_by_name(settings: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=words):
        AnchorSampler(**settings)
