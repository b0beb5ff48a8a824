import argparse
from dataclasses import replace
from typing import Any

import pytest

from model.cli.rules_argument import add_rules
from model.cli.rules_argument import rules_of as rules_from
from model.training.rules import RULES, Rules


def rules_of(*flags: str) -> Rules:
    parser = argparse.ArgumentParser()
    add_rules(parser)
    return rules_from(parser.parse_args(flags))


def test_each_set_of_rules_has_its_name():
    for name, rules in RULES.items():
        assert rules_of("--rules", name) == rules


def test_a_flag_changes_that_one_rule():
    base = RULES["classic"]
    changed = rules_of(
        "--rules", "classic", "--foreground-iou", "0.6", "--straddle", "0", "--anchors-per-picture", "64"
    )
    assert changed.matcher.foreground_iou == 0.6
    assert changed.matcher.background_iou == base.matcher.background_iou
    assert changed.matcher.straddle == 0.0
    assert changed.sampler.per_picture == 64
    assert changed.sampler.foreground_share == base.sampler.foreground_share
    assert changed.objectness == base.objectness


CLASSIC, DENSE = RULES["classic"], RULES["dense"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--assignment", "atss"], replace(CLASSIC, assignment="atss")),
        (["--background-iou", "0.2"], replace(CLASSIC, matcher=replace(CLASSIC.matcher, background_iou=0.2))),
        (["--foreground-share", "0.3"], replace(CLASSIC, sampler=replace(CLASSIC.sampler, foreground_share=0.3))),
        (["--box", "giou"], replace(CLASSIC, box="giou")),
        (["--box", "l1"], replace(CLASSIC, box="l1")),
        (["--box-per", "places"], replace(CLASSIC, box_per="places")),
        (["--box-weight", "3"], replace(CLASSIC, box_weight=3.0)),
        (["--ignore-confident", "0.6"], replace(CLASSIC, ignore_confident=0.6)),
    ],
)
def test_each_flag_reaches_its_rule_and_no_other(flags: list[str], expected: Rules):
    assert rules_of("--rules", "classic", *flags) == expected != CLASSIC


@pytest.mark.parametrize("loss", ["focal", "bce"])
def test_the_loss_of_objectness_can_be_chosen(loss: Any):
    assert rules_of("--rules", "dense", "--objectness", loss) == replace(DENSE, objectness=loss) != DENSE
