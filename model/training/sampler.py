"""The mini-batch of anchors that the losses see (Faster R-CNN, section 3.1.3)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.errors import ConfigError
from model.training.assignment import BACKGROUND, FOREGROUND


@dataclass(frozen=True, slots=True)
class AnchorSampler:
    """``per_picture`` anchors of each picture at random, at most ``foreground_share`` of them foreground.

    Where foreground is short, background fills up, as in the paper.
    """

    per_picture: int = 256
    foreground_share: float = 0.5

    def __post_init__(self) -> None:
        if self.per_picture < 1:
            raise ConfigError(f"sampler: anchors per picture must be at least 1, not {self.per_picture}")
        if not 0 < self.foreground_share <= 1:
            raise ConfigError(f"sampler: foreground_share must lie in (0, 1], not {self.foreground_share}")

    def __call__(self, labels: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Labels (N, R) to two masks (N, R): the sampled foreground, the sampled background."""
        order = torch.rand(labels.shape, generator=generator, device=labels.device)
        most = int(self.per_picture * self.foreground_share)
        share = torch.full((len(labels),), most, device=labels.device)
        foreground = _at_most(labels == FOREGROUND, order, share, most)
        background = _at_most(labels == BACKGROUND, order, self.per_picture - foreground.sum(dim=1), self.per_picture)
        return foreground, background


def _at_most(candidates: Tensor, order: Tensor, counts: Tensor, limit: int) -> Tensor:
    """Of each row's candidates, a random ``counts`` (N,), none over ``limit``: to read the largest one would wait."""
    most = min(int(candidates.shape[1]), limit)
    keys, indices = torch.where(candidates, order, -1.0).topk(most, dim=1)
    chosen = (keys >= 0) & (torch.arange(most, device=order.device) < counts[:, None])
    return torch.zeros_like(candidates).scatter_(1, indices, chosen)
