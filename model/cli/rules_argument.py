"""``rpn train --rules`` and the flags that change one of them."""

import argparse
from dataclasses import replace
from typing import Any

from model.errors import ConfigError
from model.training.rules import DEFAULT_RULES, RULES, Rules

# What is heard only by one way of assigning, or by one loss; with another it would be taken without a word.
_ONLY_WITH = (
    (("foreground_iou", "background_iou", "straddle"), "assignment", "iou"),
    (("anchors_per_picture", "foreground_share"), "objectness", "bce"),
)


def add_rules(parser: argparse.ArgumentParser) -> None:
    """What the anchors learn: a set of rules by name, and whatever is to differ from it."""
    group = parser.add_argument_group(
        "rules", "assignment, sampling and losses; what is not given is as --rules has it"
    )
    add = group.add_argument
    add("--rules", choices=list(RULES), default=DEFAULT_RULES, help="default: %(default)s")
    add("--assignment", choices=("iou", "atss"), help="by thresholds of IoU, or adaptive to each box")
    add("--foreground-iou", type=float, help="foreground from this IoU on (assignment iou)")
    add("--background-iou", type=float, help="background below this IoU (assignment iou)")
    add("--straddle", type=float, help="pixels by which an anchor may cross the border (assignment iou)")
    add("--anchors-per-picture", type=int, help="how many anchors are sampled (objectness bce)")
    add("--foreground-share", type=float, help="how many of them may be foreground (objectness bce)")
    add("--objectness", choices=("bce", "focal", "quality"), help="the loss of objectness")
    add("--box", choices=("smooth_l1", "l1", "giou"), help="the loss of boxes")
    add("--box-per", choices=("anchors", "foreground", "places"), help="what the sum of box losses is divided by")
    add("--box-weight", type=float, help="the paper's lambda")
    add(
        "--ignore-confident",
        type=float,
        help="leave out background anchors, and boxes of the second stage on nothing annotated, that score above this",
    )


def rules_of(arguments: argparse.Namespace) -> Rules:
    """The rules that were asked for.

    Raises:
        ConfigError: they contradict one another, or one is of no use beside the others.
    """
    base = RULES[arguments.rules]
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    rules = replace(
        base,
        matcher=replace(base.matcher, **_those(given, ("foreground_iou", "background_iou", "straddle"))),
        sampler=replace(
            base.sampler,
            per_picture=given.get("anchors_per_picture", base.sampler.per_picture),
            foreground_share=given.get("foreground_share", base.sampler.foreground_share),
        ),
        **_those(given, ("assignment", "objectness", "box", "box_per", "box_weight", "ignore_confident")),
    )
    for names, option, value in _ONLY_WITH:
        if getattr(rules, option) != value and (idle := next((name for name in names if name in given), None)):
            raise ConfigError(
                f"--{idle.replace('_', '-')} is for --{option} {value}, and this is {getattr(rules, option)}"
            )
    return rules


def _those(given: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}
