import json
from collections.abc import Callable

import pytest

from model.architectures import ARCHITECTURES, architecture
from model.config import (
    AnchorConfig,
    BackboneConfig,
    HeadConfig,
    ModelConfig,
    OverlapPenalty,
    RefinementConfig,
    SelectionConfig,
)
from model.errors import ConfigError


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_config_survives_json(name: str):
    config = architecture(name)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("backbone", "name"), 3, "config.backbone.name must be of type str, not 3"),
        (("backbone", "depth"), 3, "config.backbone.depth is not a known field"),
        (("anchors", "sizes"), [["a"]], r"config.anchors.sizes\[0\]\[0\] must be a number, not 'a'"),
        (("anchors", "convention"), "mine", "config.anchors.convention must be one of"),
        (("head", "convolutions"), True, "config.head.convolutions must be a whole number, not True"),
        (("input", "mean"), [1, 2], "config.input.mean must be a list of 3"),
        (("input", "canvases"), [{"width": 3}], r"config.input.canvases\[0\]: .*height"),
        (("selection",), [], "config.selection must be an object, not list"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(path: tuple[str, ...], value: object, message: str):
    values = json.loads(json.dumps(architecture("rpn_regnet_x_400mf_fpn").to_dict()))
    target = values
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(ConfigError, match=message):
        ModelConfig.from_dict(values)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: AnchorConfig(sizes=()), "anchors: "),
        (lambda: AnchorConfig(sizes=((1.0,), (1.0, 2.0))), "anchors: "),
        (lambda: AnchorConfig(sizes=((-1.0,),)), "anchors: "),
        (lambda: AnchorConfig(sizes=((1.0,),), aspect_ratios=()), "anchors: "),
        (lambda: BackboneConfig("resnet18_fpn", norm_eps=-1.0), "norm_eps must be finite and at least 0, not -1"),
        (lambda: HeadConfig(convolutions=0), "needs at least one convolution, not 0"),
        (lambda: HeadConfig(objectness="other"), "objectness must be 'sigmoid' or 'softmax', not 'other'"),
        (lambda: HeadConfig(prior=1.0), "prior must lie between 0 and 1, not 1"),
        (lambda: HeadConfig(objectness="softmax", prior=0.1), "prior is for objectness 'sigmoid'"),
        (lambda: OverlapPenalty(ious=(0.7, 0.5)), r"ious must rise and lie in \[0, 1\], not \(0.7, 0.5\)"),
        (lambda: OverlapPenalty(ious=()), "ious must rise"),
        (lambda: OverlapPenalty(logits=0.0), "logits must be positive and finite, not 0"),
        (lambda: SelectionConfig(pre_nms_top_n=0), "pre_nms_top_n and post_nms_top_n must be at least 1"),
        (lambda: SelectionConfig(nms_iou=1.5), r"nms_iou must lie in \[0, 1\], not 1.5"),
        (lambda: RefinementConfig(grid=0), "grid must be at least 1, not 0"),
        (lambda: RefinementConfig(first_weight=-1.0), "first_weight must be at least 0, not -1"),
        (lambda: RefinementConfig(nms_iou=0.0), r"nms_iou must lie in \(0, 1\], not 0"),
    ],
)
def test_parts_that_cannot_be_built_are_refused(build: Callable[[], object], message: str):
    with pytest.raises(ConfigError, match=message):
        build()
