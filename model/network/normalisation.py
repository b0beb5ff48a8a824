"""Pixels to the network's input."""

import torch
from torch import Tensor, nn

from model.config import InputRule


class Normalisation(nn.Module):
    """uint8 RGB to normalised floats, on the pictures' own device; the padding becomes exactly zero."""

    scale: Tensor
    shift: Tensor

    def __init__(self, rule: InputRule) -> None:
        super().__init__()
        # Not persistent: torchvision's detection checkpoints have no such entries, and the config holds the values.
        mean, std = torch.tensor(rule.mean), torch.tensor(rule.std)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, pixels: Tensor, contents: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 and contents (N, 2) as (width, height), to (N, 3, H, W) float32 in channels_last."""
        values = torch.addcmul(self.shift, pixels.float(), self.scale)
        if contents.device.type == "cpu":  # the padding alone is touched
            for picture, (width, height) in zip(values, contents.int().tolist(), strict=True):
                picture[height:] = 0
                picture[:, width:] = 0
            return values.permute(0, 3, 1, 2)
        columns = torch.arange(pixels.shape[2], device=pixels.device) < contents[:, :1]  # (N, W)
        rows = torch.arange(pixels.shape[1], device=pixels.device) < contents[:, 1:]  # (N, H)
        inside = rows[:, :, None] & columns[:, None, :]
        return torch.where(inside[..., None], values, 0.0).permute(0, 3, 1, 2)
