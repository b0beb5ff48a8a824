"""Backbones: pictures to feature maps, on torchvision's classification networks.

State-dict names are those of torchvision's detection models wherever the module is the same (``backbone.body.*``,
``backbone.fpn.*``), so that their checkpoints fit.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn
from torchvision import models
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.resnet import BasicBlock
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from model.config import BackboneConfig
from model.errors import ConfigError

NormLayer = Callable[[int], nn.Module]


@dataclass(frozen=True, slots=True)
class Body:
    """A classification network cut up for detection: which of its children give maps, at which stride and width."""

    module: nn.Module
    layers: tuple[str, ...]
    strides: tuple[int, ...]
    channels: tuple[int, ...]


class Backbone(nn.Module):
    """Pictures, float32 (N, 3, H, W), to L feature maps (N, ``out_channels``, H_l, W_l), finest first."""

    def __init__(self, *, strides: tuple[int, ...], out_channels: int) -> None:
        super().__init__()
        self.strides = strides
        self.out_channels = out_channels

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """The feature maps, finest first."""
        raise NotImplementedError


class SingleMapBackbone(Backbone):
    """One map of one stride, as in the paper: ``body`` is run as far as its last layer."""

    def __init__(self, body: Body) -> None:
        super().__init__(strides=body.strides, out_channels=body.channels[-1])
        self.body = IntermediateLayerGetter(body.module, {body.layers[-1]: "0"})

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """The one feature map."""
        return list(self.body(pictures).values())


class PyramidBackbone(Backbone):
    """A feature pyramid (Lin et al. 2017), with one more level, of twice the stride, pooled from the coarsest."""

    def __init__(self, body: Body, out_channels: int, norm: NormLayer | None = None) -> None:
        super().__init__(strides=(*body.strides, body.strides[-1] * 2), out_channels=out_channels)
        self.body = IntermediateLayerGetter(body.module, {name: str(i) for i, name in enumerate(body.layers)})
        self.fpn = FeaturePyramidNetwork(
            list(body.channels), out_channels, extra_blocks=LastLevelMaxPool(), norm_layer=norm
        )

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """The maps of the pyramid, finest first."""
        return list(self.fpn(self.body(pictures)).values())


def build_backbone(config: BackboneConfig) -> Backbone:
    """The backbone that the config names, with fresh weights.

    Raises:
        ConfigError: the name is none of `BACKBONES`.
    """
    if config.name not in BACKBONES:
        raise ConfigError(f"backbone {config.name!r} is none of {', '.join(BACKBONES)}")
    frozen, trained = partial(FrozenBatchNorm2d, eps=config.norm_eps), partial(nn.BatchNorm2d, eps=config.norm_eps)
    body = BACKBONES[config.name](frozen if config.frozen_norm else trained)
    if config.name.endswith("_fpn"):
        return PyramidBackbone(body, config.fpn_channels, nn.BatchNorm2d if config.fpn_norm else None)
    return SingleMapBackbone(body)


def _vgg16(norm: NormLayer) -> Body:
    # All thirteen convolutions; the last max-pooling goes with the fully connected layers (paper, section 3.1).
    layers = models.vgg16(weights=None).features[:-1]
    return Body(layers, (str(len(layers) - 1),), (16,), (512,))


def _resnet_c4(norm: NormLayer) -> Body:
    return Body(models.resnet50(weights=None, norm_layer=norm), ("layer3",), (16,), (1024,))


def _resnet(build: Callable[..., nn.Module]) -> Callable[[NormLayer], Body]:
    def body(norm: NormLayer) -> Body:
        layers = ("layer1", "layer2", "layer3", "layer4")
        return Body(build(weights=None, norm_layer=norm), layers, (4, 8, 16, 32), (256, 512, 1024, 2048))

    return body


def _basic_resnet(blocks: tuple[int, int, int, int]) -> Callable[[NormLayer], Body]:
    """A ResNet of basic blocks (He et al. 2016, table 1, its left columns), so many to each layer."""

    def body(norm: NormLayer) -> Body:
        # From stride 8 on: layer1's maps, of stride 4, would double the cost of the head.
        network = models.ResNet(BasicBlock, list(blocks), norm_layer=norm)
        return Body(network, ("layer2", "layer3", "layer4"), (8, 16, 32), (128, 256, 512))

    return body


def _mobilenet_v3_large(norm: NormLayer) -> Body:
    # torchvision's detector takes the last two stages, both at stride 32: the final 1x1 convolution widens the last.
    features = models.mobilenetv3.mobilenet_v3_large(weights=None, norm_layer=norm).features
    return Body(features, ("13", "16"), (32, 32), (160, 960))


def regnet_body(build: Callable[..., models.RegNet]) -> Callable[[NormLayer], Body]:
    """Any of torchvision's RegNets, its maps from stride 8 on."""

    def body(norm: NormLayer) -> Body:
        network = build(weights=None, norm_layer=norm)
        blocks = network.trunk_output
        layers = nn.Sequential(OrderedDict([("stem", network.stem), *blocks.named_children()]))
        widths = tuple(_last_convolution(block).out_channels for block in blocks.children())
        return Body(layers, ("block2", "block3", "block4"), (8, 16, 32), widths[1:])

    return body


def _last_convolution(block: nn.Module) -> nn.Conv2d:
    return [module for module in block.modules() if isinstance(module, nn.Conv2d)][-1]


BACKBONES: dict[str, Callable[[NormLayer], Body]] = {
    "vgg16": _vgg16,
    "resnet50_c4": _resnet_c4,
    # ResNet-18 less its last block, which holds 42 % of its weights and serves the largest objects alone.
    "resnet16_fpn": _basic_resnet((2, 2, 2, 1)),
    "resnet18_fpn": _basic_resnet((2, 2, 2, 2)),
    "resnet50_fpn": _resnet(models.resnet50),
    "resnet101_fpn": _resnet(models.resnet101),
    "mobilenet_v3_large_fpn": _mobilenet_v3_large,
    "regnet_x_400mf_fpn": regnet_body(models.regnet_x_400mf),
}
