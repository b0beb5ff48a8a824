"""What a network is, as frozen dataclasses: stored inside every checkpoint, so that serving cannot mismatch it."""

import dataclasses
import math
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, Union

from model.errors import ConfigError
from model.imaging.canvas import InputRule, longest_side_rule

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AnchorConfig:
    """The anchors of each feature level.

    ``sizes``: per level, the side in pixels of the square anchor of each scale; ``aspect_ratios``: height / width,
    the same at every level. ``convention`` is where the anchors of a cell lie:

    - ``"torchvision"``: centred on the cell's top left corner, half sides rounded to whole pixels, a level's stride
      the canvas's side over the map's, rounded down;
    - ``"paper"``: as py-faster-rcnn's ``generate_anchors``: centred on the cell's middle, the sides of the base
      anchor rounded for each ratio and then multiplied by the scale;
    - ``"centred"``: centred on the cell's middle, nothing rounded: what the networks trained here use.
    """

    sizes: tuple[tuple[float, ...], ...]
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    convention: Literal["torchvision", "paper", "centred"] = "torchvision"

    def __post_init__(self) -> None:
        if not self.sizes or len({len(level) for level in self.sizes}) != 1 or not self.sizes[0]:
            raise ConfigError("anchors: every level needs the same number of sizes, at least one")
        if min(min(level) for level in self.sizes) <= 0 or min(self.aspect_ratios, default=0) <= 0:
            raise ConfigError("anchors: sizes and aspect ratios must be positive, and at least one of each")
        if self.convention not in ("torchvision", "paper", "centred"):
            raise ConfigError(f"anchors: convention {self.convention!r} is none of torchvision, paper, centred")

    @property
    def per_location(self) -> int:
        """k, the anchors at each place: scales times ratios."""
        return len(self.sizes[0]) * len(self.aspect_ratios)


@dataclass(frozen=True, slots=True)
class BackboneConfig:
    """Which backbone, by its name in `model.network.backbones`.

    ``fpn_channels`` is the width of the feature pyramid (backbones named ``*_fpn``), ``fpn_norm`` a batch norm after
    each of its convolutions (Li et al. 2021); ``frozen_norm`` makes every batch norm of the body a fixed affine map, as
    torchvision's pretrained detectors have it, and ``norm_eps`` is what the body's norms add to their variances.
    """

    name: str
    fpn_channels: int = 256  # Lin et al. 2017, section 3
    frozen_norm: bool = False
    fpn_norm: bool = False
    norm_eps: float = 1e-5  # torch's and torchvision's default

    def __post_init__(self) -> None:
        if not (self.norm_eps >= 0 and math.isfinite(self.norm_eps)):
            raise ConfigError(f"backbone: norm_eps must be finite and at least 0, not {self.norm_eps}")


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """The sliding head: ``convolutions`` of 3x3, then the sibling 1x1 convolutions.

    ``objectness="sigmoid"`` has one output per anchor (k); ``"softmax"`` has the paper's two (2k: the k background
    scores, then the k foreground scores). ``channels=None`` keeps the features' own width. ``prior`` is the objectness
    that a fresh head gives every anchor: 0.5 is the paper's, 0.01 RetinaNet's (Lin et al. 2017, section 4.1), without
    which a loss over all anchors starts with the background's sheer number.
    """

    channels: int | None = None
    convolutions: int = 1
    objectness: Literal["sigmoid", "softmax"] = "sigmoid"
    prior: float = 0.5

    def __post_init__(self) -> None:
        if self.objectness not in ("sigmoid", "softmax"):
            raise ConfigError(f"head: objectness must be 'sigmoid' or 'softmax', not {self.objectness!r}")
        if self.convolutions < 1:
            raise ConfigError(f"head: needs at least one convolution, not {self.convolutions}")
        if not 0 < self.prior < 1:
            raise ConfigError(f"head: prior must lie between 0 and 1, not {self.prior}")
        if self.prior != 0.5 and self.objectness == "softmax":
            raise ConfigError("head: prior is for objectness 'sigmoid'")


@dataclass(frozen=True, slots=True)
class OverlapPenalty:
    """A box that is much like a better one is ranked lower rather than dropped, as by Soft-NMS (Bodla et al. 2017).

    ``ious``: thresholds of NMS, rising; a box loses ``logits`` for each of them that would drop it, up to the first one
    that would not, and of those alone that are stricter than the NMS that is asked for. So the first proposals differ
    from one another, as after a strict NMS, and the later ones are second guesses at the same objects, as after a loose
    one. Here a score falls in steps and all at once, where Soft-NMS goes from box to box.
    """

    # Both measured on validation pictures (docs/training.md): 1 or 2 logits find less with a hundred.
    ious: tuple[float, ...] = (0.5, 0.7)
    logits: float = 1.5

    def __str__(self) -> str:
        ious = " and ".join(f"{iou:g}" for iou in self.ious)
        return f"{self.logits:g} of a proposal's logit for each of the IoUs {ious} at which NMS would drop it"

    def __post_init__(self) -> None:
        if not self.ious or list(self.ious) != sorted(set(self.ious)) or not 0 <= self.ious[0] <= self.ious[-1] <= 1:
            raise ConfigError(f"overlap_penalty: ious must rise and lie in [0, 1], not {self.ious}")
        if not (self.logits > 0 and math.isfinite(self.logits)):
            raise ConfigError(f"overlap_penalty: logits must be positive and finite, not {self.logits}")


@dataclass(frozen=True, slots=True)
class SelectionConfig:
    """From scored anchors to proposals: the highest ``pre_nms_top_n`` of each level are decoded; those with a side
    under ``min_side`` canvas pixels or an objectness, before any calibration, under ``score_threshold`` go, whatever a
    caller asks for; at most ``post_nms_top_n`` are ever returned. ``nms_iou`` is for callers who name none; what it
    leaves is ranked with the ``overlap_penalty``, if there is one.
    """

    pre_nms_top_n: int = 1000
    post_nms_top_n: int = 1000
    score_threshold: float = 0.0
    min_side: float = 1e-3  # torchvision's: drops what clipping has flattened, nothing else
    nms_iou: float = 0.7  # Faster R-CNN, section 3.1.3
    overlap_penalty: OverlapPenalty | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.nms_iou <= 1:
            raise ConfigError(f"selection: nms_iou must lie in [0, 1], not {self.nms_iou}")
        if self.pre_nms_top_n < 1 or self.post_nms_top_n < 1:
            raise ConfigError("selection: pre_nms_top_n and post_nms_top_n must be at least 1")


@dataclass(frozen=True, slots=True)
class RefinementConfig:
    """The second stage: the best boxes of the first are scored and moved once more.

    ``proposals``: how many of each picture, after NMS at ``nms_iou``, whatever a caller asks for, so that ten proposals
    are the first ten of a hundred; ``grid``: points across a box and down it at which features are sampled,
    ``channels`` of them; ``hidden``: the width of the two layers that read them; ``first_weight``: how much of the
    first stage's logit is added to the second's.
    """

    proposals: int = 2000
    nms_iou: float = 0.8  # looser than the last NMS: boxes that are near one another may part
    grid: int = 7
    channels: int = 32
    hidden: int = 256
    first_weight: float = 0.5  # measured on validation pictures: 0 ranks the first hundred worse, 1 no better

    def __post_init__(self) -> None:
        for name in ("proposals", "grid", "channels", "hidden"):
            if getattr(self, name) < 1:
                raise ConfigError(f"refinement: {name} must be at least 1, not {getattr(self, name)}")
        if self.first_weight < 0:
            raise ConfigError(f"refinement: first_weight must be at least 0, not {self.first_weight}")
        if not 0 < self.nms_iou <= 1:
            raise ConfigError(f"refinement: nms_iou must lie in (0, 1], not {self.nms_iou}")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A whole network: all that is needed to build it and to feed it."""

    architecture: str
    backbone: BackboneConfig
    anchors: AnchorConfig
    input: InputRule
    head: HeadConfig = field(default_factory=HeadConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    refinement: RefinementConfig | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` reverses it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelConfig":
        """The config that `to_dict` wrote.

        Raises:
            ConfigError: a field is missing, unknown or of the wrong type; the message names it.
        """
        return build_dataclass(cls, values, "config")


def build_dataclass(kind: type[T], values: Any, where: str) -> T:
    """A (nested) dataclass from plain values as JSON has them, every field checked against its annotation.

    Raises:
        ConfigError: naming the field by its dotted path.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where} must be an object, not {type(values).__name__}")
    hints = typing.get_type_hints(kind)
    if unknown := sorted(set(values) - set(hints)):
        raise ConfigError(f"{where}.{unknown[0]} is not a known field")
    given = {name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    try:
        return kind(**given)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return build_dataclass(typing.cast("type[Any]", hint), value, where)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where)
    if origin is Literal:
        return _checked(value in arguments, value, where, f"one of {arguments}")
    if origin is tuple:
        _checked(isinstance(value, list | tuple), value, where, "a list")
        items = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        _checked(len(items) == len(value), value, where, f"a list of {len(items)}")
        return tuple(_convert(item, v, f"{where}[{i}]") for i, (item, v) in enumerate(zip(items, value, strict=True)))
    if hint is float:
        _checked(isinstance(value, int | float) and not isinstance(value, bool), value, where, "a number")
        return float(value)
    if hint is int:
        return _checked(isinstance(value, int) and not isinstance(value, bool), value, where, "a whole number")
    return _checked(isinstance(value, hint), value, where, f"of type {hint.__name__}")


def _checked(condition: bool, value: Any, where: str, wanted: str) -> Any:
    if not condition:
        raise ConfigError(f"{where} must be {wanted}, not {value!r}")
    return value


__all__ = [
    "AnchorConfig",
    "BackboneConfig",
    "HeadConfig",
    "InputRule",
    "ModelConfig",
    "RefinementConfig",
    "SelectionConfig",
    "build_dataclass",
    "longest_side_rule",
]
