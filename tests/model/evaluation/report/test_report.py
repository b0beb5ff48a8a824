import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.calibration import Calibration, Curve
from model.checkpoints.checkpoint import Checkpoint
from model.config import ModelConfig
from model.evaluation.findings import Findings, judge
from model.evaluation.report.exhibit import judge_pictures
from model.evaluation.report.gallery import FOUND, IGNORED, MISSED, PROPOSED, draw_exhibit
from model.evaluation.report.report import write_report
from model.evaluation.training_log import TrainingLog
from model.structures import Proposals
from model.training.annotations import AnnotatedPicture, read_annotations
from tests.scenes import write_coco

COMPUTED = "torch fp32 on cpu"
LOG = TrainingLog({"epoch": [1.0, 2.0], "box": [0.2, 0.1], "AR@100": [0.3, 0.4]})


def proposed(picture: AnnotatedPicture, seed: int) -> Proposals:
    """Some of the boxes, and some that miss, with scores that tell a little."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 60, (40, 2))
    wrong = np.concatenate([corners, corners + random.uniform(5, 60, (40, 2))], axis=1)
    boxes = np.concatenate([picture.boxes[: len(picture.boxes) - seed % 2], wrong]).astype(np.float32)
    return Proposals(boxes, np.linspace(0.9, 0.02, len(boxes)).astype(np.float32))


@pytest.fixture
def findings(tiny_config: ModelConfig, tmp_path: Path) -> Findings:
    pictures = read_annotations(write_coco(tmp_path, "val", range(8)))
    checkpoint = Checkpoint("<tiny>", "1", tiny_config, {}, {"data": "drawn & made up"})
    proposals = [proposed(picture, seed) for seed, picture in enumerate(pictures)]
    return judge(checkpoint, "scenes/val.json", pictures, proposals, COMPUTED)


def test_all_of_it_is_in_the_one_file(findings: Findings):
    html = write_report(findings, LOG)
    fetched = re.findall(r"""(?:\bsrc=|\bhref=|\burl\()["']?([^"'\s>)]+)""", html)
    assert fetched
    assert all(address.startswith("data:image/jpeg;base64,") for address in fetched)
    assert not re.search(r"<(script|link|iframe|object|embed)\b|@import", html)
    for text in ("Recall against IoU", "Recall against the number", "by the size", "Reliability", "Losses", "Worst"):
        assert text in html
    assert f"{findings.recall.average(100):.3f}" in html
    assert "&lt;tiny&gt; 1" in html
    assert "drawn &amp; made up" in html
    assert str(findings.pictures[0].path.parent) not in html, "it does not say where it was made"


def test_it_says_how_the_figures_were_measured(findings: Findings):
    boxes = findings.recall.counts["all"]
    own = f"scenes/val.json: 8 pictures, {boxes} objects; NMS at 0.7, torch fp32 on cpu.</p>"
    assert own in write_report(findings)
    args = (findings.checkpoint, findings.data, findings.pictures, findings.proposals)
    assert "objects; NMS at 0.5, openvino int8 on cpu.</p>" in write_report(judge(*args, "openvino int8 on cpu", 0.5))


def test_with_and_without_a_calibration_and_a_log(findings: Findings):
    plain = write_report(findings)
    assert "Losses" not in plain
    assert "This checkpoint is not calibrated" in plain
    checkpoint = replace(findings.checkpoint, calibration=Calibration((Curve(1.0, 1.0, -1.0),)))
    calibrated = judge(checkpoint, findings.data, findings.pictures, findings.proposals, COMPUTED)
    assert calibrated.figures()["ECE"] != calibrated.figures()["ECE/raw"]
    assert "calibrated, as served" in write_report(calibrated)


def test_pictures_without_boxes_and_without_proposals(findings: Findings):
    none = np.zeros((0, 4), dtype=np.float32)
    empty = [replace(picture, boxes=none) for picture in findings.pictures]
    nothing = [Proposals(none, np.zeros(0, np.float32))] * len(empty)
    for pictures, proposals in ((empty, findings.proposals), (findings.pictures, nothing), (empty, nothing), ([], [])):
        html = write_report(judge(findings.checkpoint, "x", pictures, proposals, COMPUTED), TrainingLog({"epoch": []}))
        assert "Recall against IoU" in html
        assert not re.search(r"\bnan\b", re.sub(r"data:[^\"]*", "", html), re.IGNORECASE)


def test_a_region_to_ignore_is_drawn(findings: Findings):
    region = np.array([[10, 10, 60, 50]], dtype=np.float32)
    pictures = [replace(picture, ignored=region) for picture in findings.pictures]
    ignoring = judge(findings.checkpoint, "x", pictures, findings.proposals, COMPUTED)
    (first, *_), (same, *_) = judge_pictures(ignoring), judge_pictures(findings)
    assert IGNORED in colours(draw_exhibit(ignoring, first))
    assert IGNORED not in colours(draw_exhibit(findings, same))


def test_a_cards_pictures_are_left_to_the_card(findings: Findings):
    text = "Small ones are missed.\n\n![Its boxes](../images/x.jpg)\n\n*What goes wrong: a cat.*\n\nNMS is at 0.5."
    checkpoint = replace(findings.checkpoint, provenance={"limits": text})
    html = write_report(judge(checkpoint, "x", findings.pictures, findings.proposals, COMPUTED))
    row = re.search(r"<t[hd][^>]*>limits</t[hd]>\s*<td[^>]*>(.*?)</td>", html, re.DOTALL)
    assert row is not None
    assert row.group(1).split() == ["Small", "ones", "are", "missed.", "NMS", "is", "at", "0.5."]


def test_found_missed_and_proposed_are_drawn_in_their_colours(findings: Findings):
    drawn = {e.index: (e, draw_exhibit(findings, e)) for e in judge_pictures(findings)}
    missed, picture = drawn[1]
    assert not missed.found.all()
    assert {FOUND, PROPOSED} <= colours(drawn[0][1])
    assert MISSED in colours(picture)
    assert max(picture.size) == 480


def colours(picture: Image.Image) -> set[str]:
    counted = picture.getcolors(maxcolors=1 << 20)
    assert counted is not None
    return {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in counted}  # type: ignore[misc]
