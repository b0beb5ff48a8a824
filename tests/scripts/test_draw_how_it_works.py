"""The figures of docs/how-it-works.md are what the code says, and its text agrees with the code and with them."""

import math
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from draw_how_it_works import DOCUMENT, FIGURES, FOLDER, LOSSES, draw
from how_it_works.anchors import RATIO_COLOURS, nine_anchors, paper_anchors, place_anchors
from how_it_works.assignment import foreground, neither
from how_it_works.deltas import example
from how_it_works.facts import FACTS, refreshed
from how_it_works.losses import box_loss, objectness_loss
from how_it_works.outputs import at_place
from how_it_works.overlap import IOUS, pair
from how_it_works.proposals import NMS_IOU, best_for_each, most_crowded
from how_it_works.scene import OBJECTS, Scene, load_scene
from how_it_works.sheet import WIDTH
from model.architectures import ARCHITECTURES, architecture
from model.evaluation.overlap import iou_matrix
from model.evaluation.recall import THRESHOLDS
from model.network.box_coding import SCALE_CLAMP
from model.network.head import RPNHead
from model.structures import Selection
from model.training.rules import CLASSIC_RULES

TEXT = DOCUMENT.read_text(encoding="utf-8")
PROSE = " ".join(TEXT.split())
# One photograph, drawn again: JPEG and float noise stay far below this mean difference of the 256 levels.
SAME = 2.0


@pytest.fixture(scope="module")
def scene() -> Scene:
    return load_scene()


@pytest.fixture(scope="module")
def drawn(scene, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    draw(scene, folder)
    return folder


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.float64)


def edge_share(figure: np.ndarray, box, colour: str) -> float:
    """How much of a box's outline, where it is in the figure, has this colour: 50 points a side, or a pixel beside."""
    x1, y1, x2, y2 = box
    along = np.linspace(0.02, 0.98, 50)
    sides = [(x1 + (x2 - x1) * along, np.full(50, y)) for y in (y1, y2)]
    sides += [(np.full(50, x), y1 + (y2 - y1) * along) for x in (x1, x2)]
    hits = []
    for x, y in np.concatenate(sides, axis=1).T.round().astype(int):
        if 1 <= x < figure.shape[1] - 1 and 1 <= y < figure.shape[0] - 1:
            near = figure[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3)
            hits.append((np.abs(near - ImageColor.getrgb(colour)).max(axis=1) < 60).any())
    return float(np.mean(hits))


def test_the_nine_anchors_are_the_papers(scene):
    shown = paper_anchors(scene)
    sides = (shown.boxes[:, 2:] - shown.boxes[:, :2]).tolist()
    # what py-faster-rcnn's generate_anchors gives for scales 8, 16, 32 and ratios 0.5, 1, 2
    assert sides == [
        [184, 96], [368, 192], [736, 384],
        [128, 128], [256, 256], [512, 512],
        [88, 176], [176, 352], [352, 704],
    ]  # fmt: skip
    centres = (shown.boxes[:, 2:] + shown.boxes[:, :2]) / 2
    assert centres.tolist() == [list(shown.place)] * 9
    assert [(value - 8) % 16 for value in shown.place] == [0, 0]  # the middle of a cell of stride 16


def test_the_nine_anchors_are_drawn_where_they_are(scene):
    figure = np.asarray(nine_anchors(scene).finished(), dtype=np.float64)
    shown = paper_anchors(scene)
    scale = (WIDTH - 330) / (shown.picture.width + 40)
    for index, box in enumerate(shown.boxes.tolist()):
        x1, y1, x2, y2 = ((value + shift) * scale for value, shift in zip(box, (20, 70, 20, 70), strict=True))
        assert edge_share(figure, (x1, y1, x2, y2), RATIO_COLOURS[index // 3]) > 0.8
    assert edge_share(figure, (40, 60, 90, 640), RATIO_COLOURS[0]) < 0.2  # where there is no anchor


def test_foreground_and_neither_are_by_the_papers_rule(scene):
    """Computed again in numpy, apart from the matcher."""
    iou = iou_matrix(scene.in_photograph(scene.anchors), np.array(list(OBJECTS.values()), dtype=np.float32))
    iou[~scene.competing[0].numpy()] = -1
    best = np.isclose(iou, iou.max(axis=0), rtol=1e-4).any(axis=1)
    wanted = (iou.max(axis=1) >= 0.7) | best
    np.testing.assert_array_equal(foreground(scene).numpy(), wanted)
    between = (iou.max(axis=1) >= 0.3) & ~wanted
    np.testing.assert_array_equal(neither(scene).numpy(), between)


def test_the_foreground_is_drawn_where_it_is(scene, drawn):
    width = (WIDTH - 32) // 3
    height = round(scene.photograph.height * width / scene.photograph.width)
    panel = pixels(drawn / "assignment.jpg")[42 : 42 + height, :width]
    boxes = scene.in_photograph(scene.anchors[foreground(scene)]) * width / scene.photograph.width
    for box in boxes:
        assert edge_share(panel, box, "#0072b2") > 0.6  # dashes and words lie over it


def test_a_step_samples_as_the_text_says(scene):
    front, back = (int(mask.sum()) for mask in scene.sampled)
    assert front + back == CLASSIC_RULES.sampler.per_picture == 256
    assert front == int((scene.assignment.labels == 1).sum())


def test_the_delta_is_equation_2(scene):
    anchor, box, delta = (value.tolist() for value in example(scene))
    wa, ha, w, h = anchor[2] - anchor[0], anchor[3] - anchor[1], box[2] - box[0], box[3] - box[1]
    dx = ((box[0] + box[2]) - (anchor[0] + anchor[2])) / 2 / wa
    dy = ((box[1] + box[3]) - (anchor[1] + anchor[3])) / 2 / ha
    assert delta == pytest.approx([dx, dy, math.log(w / wa), math.log(h / ha)], abs=1e-5)


@pytest.mark.parametrize("iou", IOUS)
def test_the_pairs_have_the_iou_that_is_written(iou):
    first, second = (np.array([box], dtype=np.float32) for box in pair(iou))
    assert iou_matrix(first, second)[0, 0] == pytest.approx(iou, abs=1e-5)


def test_the_curves_are_those_that_the_text_describes():
    assert objectness_loss(0.25, foreground=True) == pytest.approx(-math.log(0.25), rel=1e-5)
    assert objectness_loss(0.25, foreground=False) == pytest.approx(-math.log(0.75), rel=1e-5)
    for error in (0.02, 1 / 9, 0.5, -1.0):
        square, line = error**2 * 9 / 2, abs(error) - 1 / 18  # they meet at 1/9
        assert box_loss(error) == pytest.approx(square if abs(error) < 1 / 9 else line, rel=1e-4)


def test_k_2k_and_4k(scene):
    paper = architecture("rpn_vgg16")
    head = RPNHead(paper.head, 512, paper.anchors.per_location)
    assert (head.cls_logits.out_channels, head.bbox_pred.out_channels) == (18, 36)
    ours = scene.network.rpn.head
    assert (ours.cls_logits.out_channels, ours.bbox_pred.out_channels) == (9, 36)
    assert [name for name in ARCHITECTURES if architecture(name).head.objectness == "softmax"] == ["rpn_vgg16"]
    anchors, logits, deltas = at_place(scene)
    assert (len(anchors), logits.shape, deltas.shape) == (9, (9,), (9, 4))
    assert "k = 9, 2k = 18, 4k = 36" in TEXT


def test_each_place_has_its_level_of_anchors(scene):
    for level, sizes in enumerate(scene.checkpoint.config.anchors.sizes):
        boxes = place_anchors(scene, level)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt()
        assert areas.tolist() == pytest.approx(list(sizes) * 3, rel=1e-3)


def test_what_nms_removed_overlaps_what_it_kept(scene):
    before, after = scene.select(1000, 1.0), scene.select(1000, NMS_IOU)
    rank, removed = most_crowded(before.boxes, after.boxes)
    assert len(removed) >= 1
    assert (iou_matrix(after.boxes[rank : rank + 1].numpy(), removed.numpy()) > NMS_IOU).all()
    assert not (removed[:, None] == after.boxes).all(dim=-1).any()
    best = best_for_each(scene, after)
    assert [rank for _, _, rank in best] == [int(i) + 1 for i in ious_with_objects(scene, after.boxes).argmax(axis=0)]


def ious_with_objects(scene: Scene, boxes: torch.Tensor) -> np.ndarray:
    return iou_matrix(scene.in_photograph(boxes), scene.in_photograph(scene.objects[0]))


def test_every_figure_is_drawn_and_those_in_the_repository_are_the_same(drawn):
    names = {*FIGURES, LOSSES}
    assert {path.name for path in drawn.iterdir()} == {path.name for path in FOLDER.iterdir()} == names
    for name in FIGURES:
        new, kept = pixels(drawn / name), pixels(FOLDER / name)
        assert new.shape == kept.shape
        assert new.shape[1] == WIDTH
        assert np.abs(new - kept).mean() < SAME, f"{name}: run scripts/draw_how_it_works.py"
    ElementTree.fromstring((drawn / LOSSES).read_text(encoding="utf-8"))
    assert (drawn / LOSSES).read_text(encoding="utf-8") == (FOLDER / LOSSES).read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_500_000


def test_a_second_run_draws_the_same_bytes(scene, drawn, tmp_path):
    for name in ("iou.jpg", "head-outputs.png"):
        FIGURES[name](scene).save(tmp_path / name)
        assert (tmp_path / name).read_bytes() == (drawn / name).read_bytes()


def test_the_document_shows_every_figure_and_no_other():
    shown = re.findall(r"!\[([^\]]+)\]\(figures/([^)]+)\)", TEXT)
    assert sorted(name for _, name in shown) == sorted([*FIGURES, LOSSES])
    assert all(len(words) > 20 for words, _ in shown)  # said for those who do not see it


def test_the_facts_in_the_document_are_the_codes(scene):
    assert set(re.findall(r"<!-- drawn: (\w+) -->", TEXT)) == set(FACTS)
    assert refreshed(TEXT, scene) == TEXT, "run scripts/draw_how_it_works.py"


def test_every_file_that_it_names_is_there():
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", TEXT)]
    named = re.findall(r"`((?:model|examples|scripts)/[\w/.]+)`", TEXT)
    assert len(links) >= 12
    assert len(named) >= 9
    assert [link for link in links if not (DOCUMENT.parent / link).exists()] == []
    assert [name for name in named if not (DOCUMENT.parents[1] / name).exists()] == []


def test_the_numbers_in_the_prose_are_the_codes(scene):
    config, matcher, sampler = scene.checkpoint.config, CLASSIC_RULES.matcher, CLASSIC_RULES.sampler
    *first, last = map(str, scene.strides)
    sizes = [size for level in config.anchors.sizes for size in level]
    said = [
        f"strides {', '.join(first)} and {last}, with {config.backbone.fpn_channels} numbers at each place",
        "Twelve sizes instead of three",
        f"at least {matcher.foreground_iou:g}, *or* no other anchor",
        f"the IoU with every box is below {matcher.background_iou:g}",
        f"foreground from {matcher.foreground_iou:g}, background below {matcher.background_iou:g}",
        f"{sampler.per_picture} anchors of each picture at random, at most half",
        f"at most {math.exp(SCALE_CLAMP):g} times the anchor's",
        f"the {config.selection.pre_nms_top_n} anchors of the highest objectness",
        f"IoU of more than {Selection().nms_iou:g}, take the next",
        f"{THRESHOLDS[0]:g} to {THRESHOLDS[-1]:g} in steps of 0.05",
    ]
    assert [words for words in said if words not in PROSE] == []
    assert len(set(sizes)) == 12
    assert (sampler.foreground_share, matcher.ignore_share, NMS_IOU) == (0.5, 0.5, Selection().nms_iou)
