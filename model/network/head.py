"""The RPN head: a small network slid over the feature map (Faster R-CNN, section 3.1 and figure 3, left)."""

import math
from itertools import pairwise

from torch import Tensor, nn
from torchvision.ops.misc import Conv2dNormActivation

from model.config import HeadConfig


class RPNHead(nn.Module):
    """Feature maps to objectness logits and deltas, with torchvision's names (``conv``, ``cls_logits``, ``bbox_pred``).

    Whichever form the objectness has, `forward` gives one logit per anchor, such that its sigmoid is the chance of an
    object: of the paper's two outputs that is foreground minus background, since a softmax over two is the sigmoid of
    their difference.
    """

    def __init__(self, config: HeadConfig, in_channels: int, anchors_per_location: int) -> None:
        super().__init__()
        self.config = config
        channels = config.channels or in_channels
        widths = [in_channels] + [channels] * config.convolutions
        self.conv = nn.Sequential(
            *(Conv2dNormActivation(a, b, kernel_size=3, norm_layer=None) for a, b in pairwise(widths))
        )
        outputs = 2 if config.objectness == "softmax" else 1
        self.cls_logits = nn.Conv2d(channels, anchors_per_location * outputs, kernel_size=1)
        self.bbox_pred = nn.Conv2d(channels, anchors_per_location * 4, kernel_size=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.normal_(layer.weight, std=0.01)  # the paper's, section 3.1.3
                nn.init.zeros_(layer.bias)
        if config.objectness == "sigmoid" and self.cls_logits.bias is not None:
            nn.init.constant_(self.cls_logits.bias, math.log(config.prior / (1 - config.prior)))

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Per level: objectness logits (N, R_l) and deltas (N, R_l, 4), in the anchors' order."""
        logits, deltas = self.maps(features)
        return flatten_maps(logits, deltas)

    def maps(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The same as maps: logits (N, H_l, W_l, A) and deltas (N, H_l, W_l, A * 4)."""
        logits, deltas = [], []
        for feature in features:
            hidden = self.conv(feature)
            logits.append(self._objectness(self.cls_logits(hidden)).permute(0, 2, 3, 1))
            deltas.append(self.bbox_pred(hidden).permute(0, 2, 3, 1))
        return logits, deltas

    def _objectness(self, outputs: Tensor) -> Tensor:
        if self.config.objectness == "softmax":
            background, foreground = outputs.chunk(2, dim=1)  # the paper's code: k background maps, then k foreground
            return foreground - background
        return outputs


def flatten_maps(logits: list[Tensor], deltas: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Maps of logits (N, H_l, W_l, A) and deltas (N, H_l, W_l, A * 4) to (N, R_l) and (N, R_l, 4)."""
    return [level.flatten(1) for level in logits], [level.reshape(len(level), -1, 4) for level in deltas]
