"""The tables, applied in NumPy as `model/network/kernels/drawing.cu` applies them, give Pillow's own pixels."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.imaging.resampling import FIXED_POINT_BITS, Taps, bilinear_taps, columns_first
from model.structures import ImageSize, PixelArray

SIDES = st.one_of(st.integers(1, 40), st.integers(1, 700))


def resized(pixels: PixelArray, width: int, height: int) -> PixelArray:
    rows, columns = bilinear_taps(pixels.shape[1], width), bilinear_taps(pixels.shape[0], height)
    if columns_first(ImageSize(pixels.shape[1], pixels.shape[0]), ImageSize(width, height)):
        return along_rows(along_columns(pixels, columns), rows)
    return along_columns(along_rows(pixels, rows), columns)


def along_rows(pixels: PixelArray, taps: Taps) -> PixelArray:
    return along_columns(pixels.swapaxes(0, 1), taps).swapaxes(0, 1)


def along_columns(pixels: PixelArray, taps: Taps) -> PixelArray:
    places = np.minimum(taps.starts[:, None] + np.arange(taps.weights.shape[1]), len(pixels) - 1)
    sums = (pixels[places].astype(np.int64) * taps.weights[:, :, None, None]).sum(axis=1)
    return np.clip((sums + (1 << FIXED_POINT_BITS >> 1)) >> FIXED_POINT_BITS, 0, 255).astype(np.uint8)


@settings(max_examples=80, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 2**32 - 1))
def test_pixels_are_pillows_to_the_bit(width, height, new_width, new_height, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = Image.fromarray(pixels).resize((new_width, new_height), Image.Resampling.BILINEAR)
    assert np.array_equal(resized(pixels, new_width, new_height), np.asarray(expected))


def test_a_side_that_stays_is_left_alone():
    taps = bilinear_taps(7, 7)
    assert (taps.weights.sum(axis=1) == 1 << FIXED_POINT_BITS).all()
    assert np.count_nonzero(taps.weights, axis=1).max() == 1
