"""The facts in the document's text that depend on the shipped network: written by the code, not by hand."""

import re

from how_it_works.anchors import paper_anchors
from how_it_works.assignment import best_of_each, neither
from how_it_works.scene import OBJECTS, Scene
from model.training.assignment import BACKGROUND, FOREGROUND

# Markdown hides comments: `<!-- drawn: levels -->` ... `<!-- /drawn -->` holds the text of `FACTS["levels"]`.
_BLOCK = re.compile(r"(<!-- drawn: ([a-z]+) -->\n).*?(<!-- /drawn -->)", re.DOTALL)


def refreshed(document: str, scene: Scene) -> str:
    """The document with every block of facts as the code says it now."""
    return _BLOCK.sub(lambda found: f"{found[1]}{FACTS[found[2]](scene)}\n{found[3]}", document)


def network(scene: Scene) -> str:
    """Which weights the figures show."""
    checkpoint = scene.checkpoint
    return (
        f"The figures that need a trained network show `{checkpoint.name}` version {checkpoint.version}\n"
        f"(`{checkpoint.digest[:19]}`), architecture `{checkpoint.config.architecture}`."
    )


def levels(scene: Scene) -> str:
    """A table of the levels, for this photograph."""
    config = scene.checkpoint.config.anchors
    lines = ["| stride | places | anchor sizes, px | anchors |", "|---|---|---|---|"]
    for stride, (rows, columns), sizes, anchors in zip(
        scene.strides, scene.maps(), config.sizes, scene.scored.anchors, strict=True
    ):
        named = ", ".join(f"{size:g}" for size in sizes)
        lines.append(f"| {stride} | {columns} x {rows} | {named} | {len(anchors.boxes):,} |")
    return "\n".join([*lines, f"| | | together | {len(scene.anchors):,} |"])


def paper(scene: Scene) -> str:
    """How many anchors the paper's network has on this photograph."""
    shown = paper_anchors(scene)
    columns, rows = shown.grid
    return (
        f"At the paper's scale the photograph is {shown.picture.width} x {shown.picture.height} pixels; "
        f"at stride {shown.stride} that is a map of {columns} x {rows} places\n"
        f"(with the padding of its canvas), so {columns * rows * len(shown.boxes):,} anchors."
    )


def assigned(scene: Scene) -> str:
    """How many anchors the matcher gives each label."""
    labels = scene.assignment.labels[0]
    front, back = (int((labels == label).sum()) for label in (FOREGROUND, BACKGROUND))
    sampled_front, sampled_back = (int(mask.sum()) for mask in scene.sampled)
    outside = int((~scene.competing).sum())
    best = ", ".join(f"{name} {iou:.2f}" for name, iou in best_of_each(scene).items())
    return (
        f"The best anchor of each box has an IoU of: {best}. It is foreground, be it above 0.7 or not.\n"
        f"For the {len(OBJECTS)} boxes, of {len(scene.anchors):,} anchors, {front} are foreground, "
        f"{back:,} background and\n{int(neither(scene).sum())} neither; "
        f"{outside:,} lie in the padding and take no part. One step learns from "
        f"{sampled_front} + {sampled_back} of them."
    )


FACTS = {"network": network, "levels": levels, "paper": paper, "assigned": assigned}
