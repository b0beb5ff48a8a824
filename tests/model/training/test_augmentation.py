from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from model.errors import ConfigError
from model.training.augmentation import AugmentationConfig, Sample, augment
from tests.scenes import draw_scene

OFF = AugmentationConfig(flip=0, crop=0, zoom_out=0, colour=0)


def sample(seed: int = 0) -> Sample:
    picture, boxes = draw_scene(seed)
    corners = np.array(boxes, dtype=np.float32)
    corners[:, 2:] += corners[:, :2]
    return Sample(picture, corners, np.array([[5, 5, 50, 40]], dtype=np.float32))


def marked(*, ignored: bool = False) -> Sample:
    """One white rectangle on black: where it is can be read back from the pixels of any variant."""
    picture = Image.new("RGB", (100, 80))
    picture.paste((255, 255, 255), (20, 30, 60, 70))
    box, none = np.array([[20, 30, 60, 70]], dtype=np.float32), np.zeros((0, 4), np.float32)
    return Sample(picture, none, box) if ignored else Sample(picture, box, none)


def white_box(picture: Image.Image) -> list[int]:
    box = picture.convert("L").getbbox()
    assert box is not None
    return list(box)


def test_all_off_changes_nothing():
    before, after = sample(), augment(sample(), OFF, np.random.default_rng(0))
    assert after.picture.tobytes() == before.picture.tobytes()
    assert np.array_equal(after.boxes, before.boxes)
    assert after.zoom == 1.0


def test_a_flip_takes_the_boxes_along():
    flipped = augment(marked(), replace(OFF, flip=1), np.random.default_rng(0))
    assert flipped.boxes.tolist() == [[40, 30, 80, 70]] == [white_box(flipped.picture)]
    again = augment(flipped, replace(OFF, flip=1), np.random.default_rng(0))
    assert again.boxes.tolist() == marked().boxes.tolist()


def test_a_flip_takes_regions_to_ignore_along():
    flipped = augment(marked(ignored=True), replace(OFF, flip=1), np.random.default_rng(0))
    assert flipped.ignored.tolist() == [[40, 30, 80, 70]] == [white_box(flipped.picture)]
    assert len(flipped.boxes) == 0


def test_a_crop_takes_what_is_left_of_regions_to_ignore_along():
    gone = 0
    for seed in range(30):
        cropped = augment(marked(ignored=True), replace(OFF, crop=1, min_crop=0.2), np.random.default_rng(seed))
        left = cropped.picture.convert("L").getbbox()
        assert cropped.ignored.tolist() == ([] if left is None else [list(left)]), "however little of it"
        assert len(cropped.boxes) == 0
        gone += left is None
    assert 0 < gone < 30, "both cases must have occurred"


@pytest.mark.parametrize("seed", range(20))
def test_a_crop_takes_the_boxes_along(seed: int):
    cropped = augment(marked(), replace(OFF, crop=1, min_crop=0.3), np.random.default_rng(seed))
    assert min(cropped.picture.size) >= 24  # 0.3 of 80
    for box in [*cropped.boxes, *cropped.ignored]:
        assert box.tolist() == white_box(cropped.picture)


def test_what_a_crop_mostly_cuts_off_is_ignored_not_background():
    counts = {"kept": 0, "ignored": 0}
    for seed in range(60):
        cropped = augment(marked(), replace(OFF, crop=1, min_crop=0.2), np.random.default_rng(seed))
        visible = np.count_nonzero(np.asarray(cropped.picture.convert("L"))) / 1600
        assert len(cropped.boxes) == (visible >= 0.4)
        assert len(cropped.ignored) == (0 < visible < 0.4)
        counts["kept"] += len(cropped.boxes)
        counts["ignored"] += len(cropped.ignored)
    assert min(counts.values()) > 3, "both cases must have occurred"


def labelled(seed: int) -> Sample:
    """A scene of which each box's label is its own place in the list."""
    plain = sample(seed)
    plain.labels = np.arange(1, len(plain.boxes) + 1)
    return plain


def test_labels_follow_a_flip():
    before = labelled(3)
    assert len(before.boxes) > 1
    after = augment(labelled(3), replace(OFF, flip=1), np.random.default_rng(0))
    assert after.labels is not None
    for box, label in zip(after.boxes, after.labels, strict=True):
        x1, y1, x2, y2 = before.boxes[label - 1]
        assert box.tolist() == [160 - x2, y1, 160 - x1, y2]


def test_labels_follow_their_boxes_through_a_crop_and_go_with_those_that_it_drops():
    dropped = 0
    for seed in range(30):
        before = labelled(seed)
        after = augment(labelled(seed), replace(OFF, crop=1, min_crop=0.4), np.random.default_rng(seed))
        unlabelled = augment(sample(seed), replace(OFF, crop=1, min_crop=0.4), np.random.default_rng(seed))
        assert after.labels is not None
        assert after.labels.dtype == np.int64
        assert np.array_equal(after.boxes, unlabelled.boxes), "labels change nothing else"
        dropped += len(before.boxes) - len(after.boxes)
        for box, label in zip(after.boxes, after.labels, strict=True):
            whole = before.boxes[label - 1]
            assert ((box[2:] - box[:2]) <= (whole[2:] - whole[:2])).all()
        if len(after.boxes) == len(before.boxes):
            assert after.labels.tolist() == list(range(1, len(before.boxes) + 1))
    assert dropped > 5


def test_the_same_generator_state_gives_the_same_variant():
    config = AugmentationConfig(crop=1)
    first, second = (augment(sample(), config, np.random.default_rng(5)) for _ in range(2))
    assert first.picture.tobytes() == second.picture.tobytes()
    assert np.array_equal(first.boxes, second.boxes)


def test_zoom_out_stays_in_its_range():
    config = replace(OFF, zoom_out=1, min_zoom=0.5)
    zooms = [augment(sample(), config, np.random.default_rng(s)).zoom for s in range(20)]
    assert 0.5 <= min(zooms) < max(zooms) <= 1.0


def test_scale_jitter_shrinks_below_one_and_crops_above():
    small = augment(marked(), replace(OFF, scale_jitter=(0.25, 0.25)), np.random.default_rng(0))
    assert (small.zoom, small.picture.size) == (0.25, (100, 80))
    for seed in range(10):
        large = augment(marked(), replace(OFF, scale_jitter=(2.0, 2.0)), np.random.default_rng(seed))
        assert (large.zoom, large.picture.size) == (1.0, (50, 40))
        for box in [*large.boxes, *large.ignored]:
            assert box.tolist() == white_box(large.picture)


def test_colours_change_within_their_range_and_boxes_do_not():
    grey = Image.new("RGB", (8, 8), (100, 100, 100))
    boxes = np.array([[1, 1, 5, 5]], dtype=np.float32)
    levels = set()
    for seed in range(20):
        random = np.random.default_rng(seed)
        after = augment(Sample(grey, boxes, np.zeros((0, 4), np.float32)), replace(OFF, colour=0.3), random)
        assert np.array_equal(after.boxes, boxes)
        pixels = np.asarray(after.picture)
        assert pixels.min() == pixels.max(), "flat as before: neither contrast nor saturation has a hold on it"
        levels.add(int(pixels[0, 0, 0]))
    assert 69 <= min(levels) < 85
    assert 115 < max(levels) <= 131


def test_settings_out_of_their_range_are_named():
    with pytest.raises(ConfigError, match=r"mosaic is a chance, between 0 and 1, not 1.5"):
        AugmentationConfig(mosaic=1.5)
    with pytest.raises(ConfigError, match=r"scale_jitter needs 0 < low <= high"):
        AugmentationConfig(scale_jitter=(2.0, 0.5))
    with pytest.raises(ConfigError, match=r"scale_jitter needs 0 < low <= high, finite"):
        AugmentationConfig(scale_jitter=(0.5, float("inf")))
