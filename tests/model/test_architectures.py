"""Architectures by name, and the same network with another input or without its second stage."""

import re
from dataclasses import replace

import pytest

from model.architectures import ARCHITECTURES, architecture, with_input_size, without_refinement
from model.errors import ConfigError

CASCADE = architecture("rpn_regnet_x_400mf_fpn_cascade")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_says_its_own_name(name: str):
    assert architecture(name).architecture == name


def test_without_its_second_stage_an_architecture_is_its_plain_one():
    for name in ARCHITECTURES:
        config = architecture(name)
        assert without_refinement(config) == architecture(name.removesuffix("_cascade"))
        assert (config.refinement is None) == (without_refinement(config) is config)


def test_a_strict_nms_of_its_own_stays_where_the_second_stage_goes():
    """As a released `pedestrian` has it; a loose one is there for the overlap penalty, and goes with it."""
    strict = replace(CASCADE, selection=replace(CASCADE.selection, nms_iou=0.5, overlap_penalty=None))
    assert without_refinement(strict).selection == strict.selection
    loose = without_refinement(CASCADE).selection
    assert loose.overlap_penalty is None
    assert loose.nms_iou < CASCADE.selection.nms_iou


def test_an_input_size_is_fed_by_the_longest_side_and_has_its_bounds():
    assert with_input_size(CASCADE, 448).input.size == 448
    assert replace(with_input_size(CASCADE, 448), input=CASCADE.input) == CASCADE
    with pytest.raises(ConfigError, match="--input-size: at most 4096, not 4097"):
        with_input_size(CASCADE, 4097)
    with pytest.raises(ConfigError, match="--input-size: rpn_resnet50_fpn is fed by its shortest side"):
        with_input_size(architecture("rpn_resnet50_fpn"), 448)


def test_an_unknown_architecture_is_told_the_names():
    with pytest.raises(ConfigError, match=re.escape(f"'yolo' is none of {', '.join(ARCHITECTURES)}")):
        architecture("yolo")
