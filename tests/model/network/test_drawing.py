"""The kernel compiles without a GPU, and one draws the pixels that the processor draws, to the bit."""

import numpy as np
import torch
from PIL import Image

from model.cuda_kernels import compile_for, source
from model.imaging.canvas import draw_on_canvas, left_to_draw, longest_side_rule
from model.network.drawing import can_draw, draw, undrawn
from model.staging import Staging
from model.structures import ImageSize
from tests.needs import needs_cuda, needs_nvrtc


@needs_nvrtc
def test_it_compiles():
    assert compile_for(source("drawing.cu", BITS=22), "sm_90").startswith(b"\x7fELF")


def test_a_cpu_has_none():
    assert not can_draw(torch.device("cpu"))


@needs_cuda
def test_pixels_are_the_processors():
    rule, random, device = longest_side_rule(320), np.random.default_rng(0), torch.device("cuda")
    staging = Staging(device)
    for count in (1, 8, 3):
        sizes = [ImageSize(*random.integers(40, 2000, 2).tolist()) for _ in range(60)]
        canvas = rule.place(sizes[0]).canvas
        sizes = [size for size in sizes if rule.place(size).canvas == canvas][:count]
        pictures = [
            Image.fromarray(random.integers(0, 256, (size.height, size.width, 3), dtype=np.uint8)) for size in sizes
        ]
        placements = [rule.place(size) for size in sizes]
        left = [left_to_draw(picture, placement) for picture, placement in zip(pictures, placements, strict=True)]
        drawn = draw(staging.place(undrawn(left, placements)), placements)
        expected = np.stack([draw_on_canvas(*pair) for pair in zip(pictures, placements, strict=True)])
        assert np.array_equal(drawn.cpu().numpy(), expected)
