import numpy as np
import pytest
from PIL import Image

from model.structures import ImageSize
from model.training.augmentation import Sample
from model.training.mosaic import mosaic

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))
SIZE = ImageSize(120, 90)
NONE = np.zeros((0, 4), dtype=np.float32)


def marked(colour: tuple[int, int, int], label: int) -> Sample:
    """A rectangle of one colour on black, larger than what a quarter could lose of it at its borders."""
    picture = Image.new("RGB", (100, 80))
    picture.paste(colour, (10, 10, 90, 70))
    boxes = np.array([[10, 10, 90, 70]], dtype=np.float32)
    return Sample(picture, boxes, np.zeros((0, 4), np.float32), labels=np.array([label]))


def found(picture: Image.Image, colour: tuple[int, int, int]) -> list[int]:
    """The box of the pixels that are nearest to this colour."""
    pixels = np.asarray(picture).astype(int)
    ys, xs = np.nonzero(np.abs(pixels - np.array(colour)).max(axis=2) < 128)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


@pytest.mark.parametrize("seed", range(10))
def test_boxes_and_labels_go_where_their_pixels_go(seed: int):
    samples = [marked(colour, label) for label, colour in enumerate(COLOURS, start=1)]
    result = mosaic(samples, SIZE, np.random.default_rng(seed))
    assert result.picture.size == (120, 90)
    assert result.labels is not None
    assert len(result.boxes) == len(result.labels)
    for box, label in zip(result.boxes, result.labels, strict=True):
        assert np.abs(box - found(result.picture, COLOURS[label - 1])).max() <= 2  # resized bilinearly
    assert len(result.boxes) + len(result.ignored) == 4


def test_the_same_generator_makes_the_same_mosaic():
    pictures = [
        mosaic([marked(c, 1) for c in COLOURS], SIZE, np.random.default_rng(5)).picture.tobytes() for _ in range(2)
    ]
    assert pictures[0] == pictures[1]


def test_class_agnostic_samples_stay_so():
    samples = [marked(colour, 1) for colour in COLOURS]
    for sample in samples:
        sample.labels = None
    assert mosaic(samples, SIZE, np.random.default_rng(0)).labels is None


@pytest.mark.parametrize("long", [(4000, 2), (2, 4000)])
def test_a_picture_may_be_far_longer_than_its_quarter(long: tuple[int, int]):
    sample = Sample(Image.new("RGB", long), np.array([[0, 0, *long]], np.float32), np.zeros((0, 4), np.float32))
    for size in (ImageSize(120, 4), ImageSize(4, 120), SIZE):
        assert mosaic([sample] * 4, size, np.random.default_rng(0)).picture.size == (size.width, size.height)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 40])
@pytest.mark.parametrize("height", [1, 2, 3, 4, 30])
def test_a_canvas_may_be_as_small_as_a_picture_can_be(width: int, height: int):
    grey = (100, 100, 100)
    for seed in range(5):
        own = Sample(Image.new("RGB", (width, height), grey), np.array([[0, 0, width, height]], np.float32), NONE)
        result = mosaic([own] * 4, ImageSize(width, height), np.random.default_rng(seed))
        assert result.picture.getcolors() == [(width * height, grey)], "all of it is covered"
        for box in (*result.boxes, *result.ignored):
            assert (box[:2] >= 0).all()
            assert (box[2:] <= (width, height)).all()


def test_three_pictures_are_refused():
    with pytest.raises(ValueError, match="four pictures, not 3"):
        mosaic([marked(c, 1) for c in COLOURS[:3]], SIZE, np.random.default_rng(0))


@pytest.mark.parametrize("seed", range(5))
def test_regions_to_ignore_go_where_their_pixels_go(seed: int):
    samples = [marked(colour, 1) for colour in COLOURS]
    for sample in samples:
        sample.boxes, sample.ignored, sample.labels = NONE, sample.boxes, np.zeros(0, np.int64)
    result = mosaic(samples, SIZE, np.random.default_rng(seed))
    assert len(result.boxes) == 0
    assert len(result.ignored) == 4
    for region, colour in zip(result.ignored, COLOURS, strict=True):
        assert np.abs(region - found(result.picture, colour)).max() <= 2


def test_a_box_of_which_too_little_is_left_is_no_background():
    """It is to be ignored: what is seen of it is an object all the same."""
    small = [Sample(Image.new("RGB", (100, 80)), np.array([[40, 30, 41, 31]], np.float32), NONE) for _ in range(4)]
    result = mosaic(small, ImageSize(60, 45), np.random.default_rng(0))
    assert len(result.boxes) == 0
    assert len(result.ignored) > 0
