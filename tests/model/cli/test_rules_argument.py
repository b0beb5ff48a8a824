import argparse

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
    assert rules_of("--rules", "classic", "--box", "giou") != base
    changed = rules_of(
        "--rules", "classic", "--foreground-iou", "0.6", "--straddle", "0", "--anchors-per-picture", "64"
    )
    assert changed.matcher.foreground_iou == 0.6
    assert changed.matcher.background_iou == base.matcher.background_iou
    assert changed.matcher.straddle == 0.0
    assert changed.sampler.per_picture == 64
    assert changed.sampler.foreground_share == base.sampler.foreground_share
    assert changed.objectness == base.objectness
