"""The architectures by name: what `rpn train --architecture` takes and what a checkpoint says that it is."""

from collections.abc import Callable
from dataclasses import replace

from model.config import (
    AnchorConfig,
    BackboneConfig,
    HeadConfig,
    InputRule,
    ModelConfig,
    OverlapPenalty,
    RefinementConfig,
    SelectionConfig,
    longest_side_rule,
)
from model.errors import ConfigError
from model.structures import Canvas

# ResNet-18 found most from scratch, of five backbones that a CPU can train and serve (docs/training.md).
DEFAULT_ARCHITECTURE = "rpn_resnet18_fpn_cascade"

# A side of 100,000, a typing mistake, had taken 19 GB before it was ended; no canvas of this size is of use here.
_LARGEST_INPUT = 4096
# What the name of an architecture with a second stage ends in.
_CASCADE = "_cascade"

# With an overlap penalty NMS need only drop what can hardly be told apart; measured on validation pictures, 0.95 in its
# place finds as much.
_RANKED_NMS_IOU = 0.9

_TORCHVISION_FPN_SIZES = ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))


def architecture(name: str) -> ModelConfig:
    """The config of an architecture.

    Raises:
        ConfigError: there is none of this name; the message lists them.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(f"architecture {name!r} is none of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]()


def with_input_size(config: ModelConfig, size: int) -> ModelConfig:
    """The same network, fed with pictures whose longest side is ``size`` pixels.

    Raises:
        ConfigError: it is fed by another rule, or the size fits no canvas.
    """
    if size > _LARGEST_INPUT:
        raise ConfigError(f"--input-size: at most {_LARGEST_INPUT}, not {size}")
    if config.input.fit != "longest":
        raise ConfigError(f"--input-size: {config.architecture} is fed by its {config.input.fit} side")
    return replace(config, input=longest_side_rule(size))


def without_refinement(config: ModelConfig) -> ModelConfig:
    """The same network without its second stage, if it has one."""
    if config.refinement is None:
        return config
    selection = config.selection
    if selection.overlap_penalty is not None:  # its loose NMS goes with it
        selection = replace(selection, nms_iou=SelectionConfig().nms_iou, overlap_penalty=None)
    name = config.architecture.removesuffix(_CASCADE)
    return replace(config, architecture=name, selection=selection, refinement=None)


def _shortest_side_rule(size: int, max_size: int) -> InputRule:
    """torchvision's resize on canvases of the usual shapes: square, 4:3, 3:2, 16:9 and 2:1, either way up."""
    step = 32  # the coarsest stride before pooling; torchvision pads its batches to the same
    longs = [
        min(-(-int(size * ratio) // step) * step, -(-max_size // step) * step) for ratio in (1.0, 4 / 3, 1.5, 16 / 9, 2)
    ]
    short = -(-size // step) * step
    canvases: list[Canvas] = []
    for long in dict.fromkeys(longs):
        canvases += dict.fromkeys((Canvas(long, short), Canvas(short, long)))
    return InputRule(fit="shortest", size=size, max_size=max_size, canvases=tuple(canvases))


def _vgg16(objectness: str) -> Callable[[], ModelConfig]:
    def config() -> ModelConfig:
        return ModelConfig(
            architecture="rpn_vgg16" if objectness == "softmax" else "rpn_vgg16_sigmoid",
            backbone=BackboneConfig("vgg16"),
            anchors=AnchorConfig(sizes=((128.0, 256.0, 512.0),), convention="paper"),
            head=HeadConfig(channels=512, objectness="softmax" if objectness == "softmax" else "sigmoid"),
            # py-faster-rcnn at test: 6000 before NMS, 300 after, shortest side 600, longest at most 1000
            selection=SelectionConfig(pre_nms_top_n=6000, post_nms_top_n=1000),
            input=_shortest_side_rule(600, 1000),
        )

    return config


def _resnet50_c4() -> ModelConfig:
    return ModelConfig(
        architecture="rpn_resnet50_c4",
        backbone=BackboneConfig("resnet50_c4"),
        anchors=AnchorConfig(sizes=((32.0, 64.0, 128.0, 256.0, 512.0),)),  # detectron2's C4 models
        selection=SelectionConfig(pre_nms_top_n=6000, post_nms_top_n=1000),
        input=_shortest_side_rule(800, 1333),
    )


def _resnet_fpn(backbone: str) -> Callable[[], ModelConfig]:
    def config() -> ModelConfig:
        return ModelConfig(
            architecture=f"rpn_{backbone}",
            backbone=BackboneConfig(backbone),
            anchors=AnchorConfig(sizes=_TORCHVISION_FPN_SIZES),
            input=_shortest_side_rule(800, 1333),
        )

    return config


def _resnet50_fpn_v2() -> ModelConfig:
    """torchvision's second version: norms in the pyramid, two convolutions in the head (Li et al. 2021)."""
    first = _resnet_fpn("resnet50_fpn")()
    return replace(
        first,
        architecture="rpn_resnet50_fpn_v2",
        backbone=replace(first.backbone, fpn_norm=True),
        head=HeadConfig(convolutions=2),
    )


def _mobilenet(name: str, rule: InputRule, top_n: int) -> Callable[[], ModelConfig]:
    def config() -> ModelConfig:
        return ModelConfig(
            architecture=f"rpn_{name}",
            backbone=BackboneConfig("mobilenet_v3_large_fpn"),
            anchors=AnchorConfig(sizes=((32.0, 64.0, 128.0, 256.0, 512.0),) * 3),
            # torchvision's own figures for these two detectors
            selection=SelectionConfig(pre_nms_top_n=top_n, post_nms_top_n=top_n, score_threshold=0.05),
            input=rule,
        )

    return config


def _regnet_x_400mf() -> ModelConfig:
    """Small enough to train from scratch on a CPU in hours, and to serve on one.

    Twelve sizes in geometric steps of 1.36, three to a level, from 10 to 300 px on a canvas of 320: small anchors
    matter, since 43 % of the boxes that it was trained on are under a tenth of the picture's longest side, 66 % under a
    fifth (the square root of the box's area).
    """
    return ModelConfig(
        architecture="rpn_regnet_x_400mf_fpn",
        backbone=BackboneConfig("regnet_x_400mf_fpn", fpn_channels=128),
        anchors=AnchorConfig(
            sizes=((10.0, 13.6, 18.5), (25.2, 34.3, 46.7), (63.5, 86.4, 117.6), (160.0, 217.7, 300.0)),
            convention="centred",
        ),
        head=HeadConfig(prior=0.01),
        input=longest_side_rule(320),
    )


def _resnet18() -> ModelConfig:
    """The same on ResNet-18: twice the weights, and from scratch on few pictures it learns far faster."""
    first = _regnet_x_400mf()
    return replace(first, architecture="rpn_resnet18_fpn", backbone=replace(first.backbone, name="resnet18_fpn"))


def _resnet16() -> ModelConfig:
    """ResNet-18's less the last block: with a second stage 15 MB where that has 25, for where size counts."""
    first = _resnet18()
    return replace(first, architecture="rpn_resnet16_fpn", backbone=replace(first.backbone, name="resnet16_fpn"))


def _cascade(plain: Callable[[], ModelConfig]) -> Callable[[], ModelConfig]:
    """The same with a second stage, whose boxes are ranked rather than thinned out."""

    def config() -> ModelConfig:
        first = plain()
        selection = SelectionConfig(nms_iou=_RANKED_NMS_IOU, overlap_penalty=OverlapPenalty())
        name = first.architecture + _CASCADE
        return replace(first, architecture=name, selection=selection, refinement=RefinementConfig())

    return config


ARCHITECTURES: dict[str, Callable[[], ModelConfig]] = {
    "rpn_vgg16": _vgg16("softmax"),
    "rpn_vgg16_sigmoid": _vgg16("sigmoid"),
    "rpn_resnet50_c4": _resnet50_c4,
    "rpn_resnet50_fpn": _resnet_fpn("resnet50_fpn"),
    "rpn_resnet50_fpn_v2": _resnet50_fpn_v2,
    "rpn_resnet101_fpn": _resnet_fpn("resnet101_fpn"),
    "rpn_mobilenet_v3_large_fpn": _mobilenet("mobilenet_v3_large_fpn", _shortest_side_rule(800, 1333), 1000),
    "rpn_mobilenet_v3_large_320_fpn": _mobilenet("mobilenet_v3_large_320_fpn", _shortest_side_rule(320, 640), 150),
    "rpn_regnet_x_400mf_fpn": _regnet_x_400mf,
    "rpn_regnet_x_400mf_fpn_cascade": _cascade(_regnet_x_400mf),
    "rpn_resnet16_fpn": _resnet16,
    "rpn_resnet16_fpn_cascade": _cascade(_resnet16),
    "rpn_resnet18_fpn": _resnet18,
    "rpn_resnet18_fpn_cascade": _cascade(_resnet18),
}
