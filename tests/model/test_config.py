import json

import pytest

from model.architectures import ARCHITECTURES, architecture
from model.config import AnchorConfig, HeadConfig, ModelConfig, SelectionConfig
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
    "build",
    [
        lambda: AnchorConfig(sizes=()),
        lambda: AnchorConfig(sizes=((1.0,), (1.0, 2.0))),
        lambda: AnchorConfig(sizes=((-1.0,),)),
        lambda: AnchorConfig(sizes=((1.0,),), aspect_ratios=()),
        lambda: HeadConfig(convolutions=0),
        lambda: SelectionConfig(pre_nms_top_n=0),
    ],
)
def test_parts_that_cannot_be_built_are_refused(build):
    with pytest.raises(ConfigError):
        build()
