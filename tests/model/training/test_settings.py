from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.architectures import architecture
from model.config import ModelConfig, longest_side_rule
from model.structures import ImageSize
from model.training.annotations import AnnotatedPicture
from model.training.augmentation import AugmentationConfig
from model.training.recipe import Recipe
from model.training.run import Run
from model.training.settings import fingerprint, first_difference, settings_of


def picture(name: str, *boxes: tuple[float, float, float, float], folder: str = "images") -> AnnotatedPicture:
    array = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    return AnnotatedPicture(Path(folder) / name, ImageSize(160, 120), array, np.zeros((0, 4), np.float32))


PICTURES = [picture("a.jpg", (0, 0, 10, 10)), picture("b.jpg")]


@pytest.fixture
def run(tiny_config: ModelConfig, tmp_path: Path) -> Run:
    return Run("scenes", tiny_config, Recipe(), PICTURES, PICTURES[:1], tmp_path, torch.device("cpu"))


def test_the_same_run_has_no_difference_wherever_it_lies_and_whatever_reads_it(run: Run, tmp_path: Path):
    moved = [picture("a.jpg", (0, 0, 10, 10), folder="elsewhere"), picture("b.jpg", folder="elsewhere")]
    other = replace(run, train=moved, folder=tmp_path / "moved", workers=7, tensorboard=True, name="renamed")
    assert first_difference(settings_of(run, 1), settings_of(other, 1)) is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"recipe": Recipe(learning_rate=0.01)}, "recipe.learning_rate is 0.001 there and 0.01 here"),
        ({"recipe": Recipe(epochs=13)}, "recipe.epochs is 12 there and 13 here"),
        ({"recipe": Recipe(accumulate=2)}, "recipe.accumulate is 1 there and 2 here"),
        ({"recipe": Recipe(schedule="constant")}, "recipe.schedule is cosine there and constant here"),
        ({"best_by": "AR@10"}, "best_by is AR@100 there and AR@10 here"),
        (
            {"recipe": Recipe(augmentation=AugmentationConfig(flip=0))},
            "recipe.augmentation.flip is 0.5 there and 0 here",
        ),
        ({"start_digest": "sha256:ab"}, "start is nothing there and sha256:ab here"),
    ],
)
def test_the_first_setting_that_differs_is_named_with_both_values(run: Run, changes: dict[str, Any], named: str):
    assert first_difference(settings_of(run, 1), settings_of(replace(run, **changes), 1)) == named


def test_how_boxes_are_ranked_in_the_end_does_not(run: Run):
    cascade = architecture("rpn_resnet18_fpn_cascade")
    begun = settings_of(replace(run, config=cascade), 1)
    begun["config"]["selection"]["nms_iou"] = 0.7
    del begun["config"]["selection"]["overlap_penalty"]  # as of a run before there was any
    assert first_difference(begun, settings_of(replace(run, config=cascade), 1)) is None
    del begun["config"]["selection"]["min_side"]
    assert "config.selection.min_side" in str(first_difference(begun, settings_of(replace(run, config=cascade), 1)))


def test_a_run_from_before_there_was_a_choice_goes_on_as_it_began(run: Run):
    begun = settings_of(run, 1)
    del begun["best_by"], begun["recipe"]["schedule"], begun["recipe"]["freeze_norms"]
    assert first_difference(begun, settings_of(run, 1)) is None
    other = replace(run, recipe=Recipe(schedule="constant"))
    assert first_difference(begun, settings_of(other, 1)) == "recipe.schedule is cosine there and constant here"
    other = replace(run, recipe=Recipe(freeze_norms=True))
    assert first_difference(begun, settings_of(other, 1)) == "recipe.freeze_norms is False there and True here"
    other = replace(run, best_by="AR@10")
    assert first_difference(begun, settings_of(other, 1)) == "best_by is AR@100 there and AR@10 here"


@pytest.mark.parametrize(
    ("begun", "now"),
    [
        ({"scale_jitter": (0.1, 2.0), "crop": 0.0, "zoom_out": 0.0}, {"scale_jitter": (0.1, 2.0)}),
        ({"crop": 1.0, "zoom_out": 0.9}, {"crop": 1.0}),
    ],
)
def test_flags_that_did_nothing_may_be_left_out(run: Run, begun: dict[str, Any], now: dict[str, Any]):
    first, second = (
        settings_of(replace(run, recipe=Recipe(augmentation=AugmentationConfig(**a))), 1) for a in (begun, now)
    )
    assert first_difference(first, second) is None
    assert first_difference(first, settings_of(run, 1)) is not None, "beside other flags they did something"


def test_the_network_its_input_and_the_number_of_processes_count(run: Run, tiny_config: ModelConfig):
    other = replace(tiny_config, architecture="rpn_vgg16")
    found = first_difference(settings_of(run, 1), settings_of(replace(run, config=other), 1))
    assert found == "config.architecture is rpn_regnet_x_400mf_fpn there and rpn_vgg16 here"
    other = replace(tiny_config, input=longest_side_rule(128))
    found = first_difference(settings_of(run, 1), settings_of(replace(run, config=other), 1))
    assert found == "config.input.size is 96 there and 128 here"
    assert first_difference(settings_of(run, 2), settings_of(run, 1)) == "processes is 2 there and 1 here"


@pytest.mark.parametrize(
    "pictures",
    [PICTURES[:1], PICTURES[::-1], [PICTURES[0], picture("c.jpg")], [picture("a.jpg", (0, 0, 10, 11)), PICTURES[1]]],
)
def test_other_data_are_told_apart(run: Run, pictures: list[AnnotatedPicture]):
    found = first_difference(settings_of(run, 1), settings_of(replace(run, train=pictures), 1))
    assert found is not None
    assert found.startswith("data.train is 2 pictures with 1 boxes (sha256 ")


def test_which_boxes_are_ignored_counts():
    box = np.array([[0, 0, 10, 10]], dtype=np.float32)
    none = box[:0]
    kept, ignored = (AnnotatedPicture(Path("a"), ImageSize(20, 20), *pair) for pair in ((box, none), (none, box)))
    assert fingerprint([kept]) != fingerprint([ignored])


def test_a_file_s_name_may_be_bytes_of_no_encoding():
    named = [picture("\udcfe.jpg")], [picture("\udcff.jpg")]
    assert fingerprint(named[0]) != fingerprint(named[1])


def test_a_setting_that_one_side_has_not_is_a_difference():
    assert first_difference({}, {"recipe": {"new": 1}}) == "recipe.new is nothing there and 1 here"
    assert first_difference({"recipe": {"old": 1}}, {"recipe": {}}) == "recipe.old is 1 there and nothing here"


def test_classes_count_where_they_are_learnt():
    one, other = (replace(PICTURES[0], classes=(name,)) for name in ("cat", "dog"))
    assert fingerprint([one]) == fingerprint([other])
    assert fingerprint([one], labelled=True) != fingerprint([other], labelled=True)
