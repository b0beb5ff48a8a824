"""Placement as laws over every size, and drawing to the pixel."""

import dataclasses
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from model.errors import ConfigError
from model.imaging.canvas import InputRule, draw_on_canvas, left_to_draw, longest_side_rule, scaled
from model.structures import Canvas, ImageSize, Placement

SHORTEST = InputRule(
    fit="shortest",
    size=320,
    max_size=640,
    canvases=tuple(Canvas(*s) for s in ((320, 320), (448, 320), (320, 448), (576, 320), (320, 576), (640, 320))),
)  # no tall twin of the last: there are pictures that none of them holds at full scale
RULES = [longest_side_rule(320), longest_side_rule(224), longest_side_rule(640, step=64), SHORTEST]

sides = st.one_of(st.integers(1, 30_000), st.integers(1, 40), st.sampled_from([320, 640, 1080, 4000]))
every_size = given(st.sampled_from(RULES), st.builds(ImageSize, sides, sides))


@every_size
@example(RULES[0], ImageSize(1, 1))
@example(RULES[0], ImageSize(30_000, 10))
@example(RULES[0], ImageSize(10, 30_000))
@example(SHORTEST, ImageSize(30_000, 10))
@example(SHORTEST, ImageSize(1, 30_000))
def test_every_size_has_its_place(rule, size):
    placement = rule.place(size)
    content, canvas = placement.content, placement.canvas
    assert placement.image == size
    assert canvas in rule.canvases
    assert 1 <= content.width <= canvas.width
    assert 1 <= content.height <= canvas.height


@every_size
@example(SHORTEST, ImageSize(9, 21))
def test_the_aspect_is_kept_within_rounding(rule, size):
    placement = rule.place(size)
    # One scale explains both sides, each rounded to the nearest pixel, but never to none.
    low = max(((side - 0.5) / whole for side, whole in _sides(placement) if side > 1), default=0.0)
    high = min((side + 0.5) / whole for side, whole in _sides(placement))
    assert low <= high * (1 + 1e-9)


def _sides(placement):
    return (placement.content.width, placement.image.width), (placement.content.height, placement.image.height)


def _wished(rule, size):
    longest, shortest = max(size.width, size.height), min(size.width, size.height)
    return scaled(
        size, rule.size / longest if rule.fit == "longest" else min(rule.size / shortest, rule.max_size / longest)
    )


def _holds(canvas, content):
    return canvas.width >= content.width and canvas.height >= content.height


@every_size
def test_the_scale_is_the_rules_on_the_smallest_canvas_that_holds_it(rule, size):
    placement, wished = rule.place(size), _wished(rule, size)
    if any(_holds(canvas, wished) for canvas in rule.canvases):
        assert placement.content == wished
        assert not any(_holds(c, wished) for c in rule.canvases if c.pixels < placement.canvas.pixels)
    else:
        assert placement.content.width == placement.canvas.width or placement.content.height == placement.canvas.height


@every_size
def test_a_place_depends_on_the_size_alone(rule, size):
    shuffled = list(rule.canvases)
    random.Random(0).shuffle(shuffled)
    rule.place(ImageSize(size.height, size.width))  # whoever came before leaves nothing behind
    assert rule.place(size) == dataclasses.replace(rule, canvases=tuple(shuffled)).place(size)


@pytest.mark.parametrize(
    ("size", "content", "canvas"),
    [
        ((640, 480), (320, 240), (320, 256)),
        ((480, 640), (240, 320), (256, 320)),
        ((1920, 1080), (320, 180), (320, 192)),
        ((3000, 2000), (320, 213), (320, 224)),
        ((4000, 3000), (320, 240), (320, 256)),
        ((1024, 1024), (320, 320), (320, 320)),
        ((160, 120), (320, 240), (320, 256)),  # the small are enlarged, as in training
        ((3000, 500), (320, 53), (320, 128)),
    ],
)
def test_usual_photographs_on_the_longest_side_rule(size, content, canvas):
    placement = longest_side_rule(320).place(ImageSize(*size))
    assert (placement.content, placement.canvas) == (ImageSize(*content), Canvas(*canvas))
    if size[0] % content[0] == 0 and size[1] % content[1] == 0:
        assert placement.scale_x == placement.scale_y == content[0] / size[0]


@pytest.mark.parametrize(
    ("size", "content", "canvas"),
    [
        ((640, 480), (427, 320), (448, 320)),
        ((640, 640), (320, 320), (320, 320)),
        ((1920, 1080), (569, 320), (576, 320)),
        ((1280, 640), (640, 320), (640, 320)),
        ((2000, 500), (640, 160), (640, 320)),  # the longest side is held to 640
        ((500, 2000), (144, 576), (320, 576)),  # no canvas is 640 tall: shrunk to what the roomiest holds
    ],
)
def test_usual_photographs_on_the_shortest_side_rule(size, content, canvas):
    placement = SHORTEST.place(ImageSize(*size))
    assert (placement.content, placement.canvas) == (ImageSize(*content), Canvas(*canvas))


@given(st.builds(ImageSize, sides, sides), st.floats(0.3, 1.0))
def test_a_given_canvas_holds_whatever_is_placed_on_it(size, zoom):
    placement = SHORTEST.place_on(size, Canvas(320, 448), zoom)
    assert placement.canvas == Canvas(320, 448)
    assert placement.content.width <= 320
    assert placement.content.height <= 448
    if zoom == 1.0:
        assert placement.content.width == 320 or placement.content.height == 448


@pytest.mark.parametrize("size", [96, 224, 320, 640])
def test_canvases_are_few_and_whole_steps(size):
    canvases = longest_side_rule(size).canvases
    assert len(set(canvases)) == len(canvases) <= 9
    assert all(c.width % 32 == 0 and c.height % 32 == 0 and max(c.width, c.height) == size for c in canvases)
    assert {Canvas(c.height, c.width) for c in canvases} == set(canvases)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fit": "widest"}, "fit must be 'longest' or 'shortest', not 'widest'"),
        ({"size": 0}, "size 0 must be positive"),
        ({"size": 641}, "size 641 must be positive and at most max_size 640"),
        ({"canvases": ()}, "the list of canvases is empty"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        dataclasses.replace(SHORTEST, **changes)


def test_a_side_that_is_no_multiple_of_the_step_is_refused():
    with pytest.raises(ConfigError, match="330 is not a multiple of 32"):
        longest_side_rule(330)


def test_a_rule_says_what_it_is():
    assert str(SHORTEST) == "shortest side 320, at most 640, 6 canvases"


# Drawing


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(RULES), st.integers(1, 900), st.integers(1, 900))
def test_drawing_fills_the_content_and_nothing_else(rule, width, height):
    placement = rule.place(ImageSize(width, height))
    pixels = draw_on_canvas(Image.new("RGB", (width, height), (255, 1, 128)), placement)
    assert pixels.shape == (placement.canvas.height, placement.canvas.width, 3)
    assert pixels.dtype == np.uint8
    content = pixels[: placement.content.height, : placement.content.width]
    assert (content == (255, 1, 128)).all()
    assert int(pixels.astype(np.int64).sum()) == int(content.astype(np.int64).sum())


def test_a_picture_of_the_contents_size_is_drawn_as_it_is():
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    placement = longest_side_rule(320).place(ImageSize(640, 480))
    assert np.array_equal(draw_on_canvas(Image.fromarray(noise), placement)[:240, :320], noise)


def test_a_picture_decoded_at_a_smaller_scale_lands_in_the_same_place():
    y, x = np.mgrid[:600, :800]
    whole = Image.fromarray(np.stack((x * 255 // 800, y * 255 // 600, x * 0), axis=-1).astype(np.uint8))
    placement = longest_side_rule(320).place(ImageSize(800, 600))
    small = draw_on_canvas(whole.reduce(2), placement).astype(int)
    assert np.abs(small - draw_on_canvas(whole, placement)).max() <= 2


def test_an_ordinary_photograph_is_resized_as_pillow_and_torchvision_do():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8))
    placement = longest_side_rule(320).place(ImageSize(1200, 900))
    expected = np.asarray(noise.resize((320, 240), Image.Resampling.BILINEAR))
    assert np.array_equal(draw_on_canvas(noise, placement)[:240, :320], expected)


@pytest.mark.parametrize("size", [(320, 240), (640, 480), (200, 150)])
def test_a_picture_that_is_left_to_draw_is_left_as_it_is(size: tuple[int, int]):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    placement = longest_side_rule(320).place(ImageSize(*size))
    assert np.array_equal(left_to_draw(Image.fromarray(noise), placement), noise)


@pytest.mark.parametrize("size", [(641, 481), (4000, 3000), (100_000, 1)])
def test_unless_it_holds_far_more_than_its_canvas_shows(size: tuple[int, int]):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    placement = longest_side_rule(320).place(ImageSize(*size))
    left = left_to_draw(noise, placement)
    assert left.shape == (placement.content.height, placement.content.width, 3)
    assert np.array_equal(draw_on_canvas(Image.fromarray(left), placement), draw_on_canvas(noise, placement))


def test_the_longest_strip_is_averaged_like_any_other():
    strip = np.zeros((1, 1_000_000, 3), dtype=np.uint8)
    strip[:, 500_000:] = 200
    placement = longest_side_rule(320).place(ImageSize(1_000_000, 1))
    row = draw_on_canvas(Image.fromarray(strip), placement)[0]
    assert placement.content == ImageSize(320, 1)
    assert (row[:159] == 0).all()
    assert (row[161:] == 200).all()


STRIP_IN_LITTLE_MEMORY = """
import resource
from pathlib import Path
from PIL import Image
from model.imaging.canvas import draw_on_canvas, longest_side_rule
from model.structures import ImageSize
strip = Image.new("RGB", (10_000_000, 1), (1, 2, 3))
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (60 << 20),) * 2)
draw_on_canvas(strip, longest_side_rule(320).place(ImageSize(10_000_000, 1)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures itself in /proc")
def test_the_longest_strip_takes_little_memory():
    subprocess.run([sys.executable, "-c", STRIP_IN_LITTLE_MEMORY], check=True)


def test_scales_are_canvas_pixels_per_picture_pixel():
    placement = Placement(ImageSize(200, 100), ImageSize(320, 160), Canvas(320, 160))
    assert (placement.scale_x, placement.scale_y) == (1.6, 1.6)


def test_imaging_never_imports_torch():
    code = (
        "import sys, model.imaging, model.imaging.canvas, model.imaging.decoding;"
        "sys.exit('torch' in sys.modules or 'torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
