"""What `rpn propose` writes is worth what `rpn eval` says, by pycocotools and from the JSON alone."""

import contextlib
import io
import json
from pathlib import Path

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from service import cli
from tests.e2e.conftest import REPOSITORY
from tests.scenes import write_coco

WEIGHTS = REPOSITORY / "weights" / "general.safetensors"
SEEDS = range(40, 46)
BUDGET = 100


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    return write_coco(tmp_path, "val", SEEDS)


def evaluated(annotations: Path) -> float:
    out = annotations.with_name("figures.json")
    command = ["eval", str(WEIGHTS), "--data", str(annotations), "--json", str(out), "--device", "cpu"]
    assert cli.main(command) == 0
    return float(json.loads(out.read_text())[f"AR@{BUDGET}"])


def written(annotations: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """The proposals of `rpn propose` as COCO's results format."""
    pictures = [str(annotations.parent / "images" / f"scene_{seed}.png") for seed in SEEDS]
    capsys.readouterr()
    assert cli.main(["propose", *pictures, "--top-n", str(BUDGET), "--box-format", "xywh"]) == 0
    answers = map(json.loads, capsys.readouterr().out.splitlines())
    return [
        {"image_id": seed, "category_id": 1, "bbox": proposal["box"], "score": proposal["score"]}
        for seed, answer in zip(SEEDS, answers, strict=True)
        for proposal in answer["proposals"]
    ]


def recalled(annotations: Path, proposals: list[dict[str, object]]) -> tuple[float, int]:
    """pycocotools' average recall, and how many boxes it is of."""
    truth = json.loads(annotations.read_text())
    truth["categories"] = [{"id": 1}]
    for record in truth["annotations"]:
        record |= {"id": record["id"] + 1, "category_id": 1, "area": record["bbox"][2] * record["bbox"][3]}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth | {"info": {}}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(proposals), "bbox")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = [BUDGET]
        evaluation.evaluate()
        evaluation.accumulate()
    return float(evaluation.eval["recall"][:, 0, 0, 0].mean()), len(truth["annotations"])


def test_the_recall_of_the_json_is_the_recall_that_eval_says(
    annotations: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RPN_PRECISION", "fp32")  # as `rpn eval` computes; a CPU may serve in int8
    said = evaluated(annotations)
    theirs, boxes = recalled(annotations, written(annotations, capsys))
    assert 0 < said < 1
    # The JSON rounds to a hundredth of a pixel, which may carry one box over one of the ten thresholds.
    assert theirs == pytest.approx(said, abs=1.01 / (10 * boxes))
