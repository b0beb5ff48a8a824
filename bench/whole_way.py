"""Sides that go the whole way in process, from encoded JPEGs to proposals: what a server could at best keep up with.

Each go takes the next pictures of a rotation; the facts say how many goes and pictures one rotation has.
"""

import argparse
import io
from collections.abc import Sequence
from itertools import cycle

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from bench.peer import load_peer, parts
from bench.picture_sets import read_pictures
from bench.side import Facts, Go
from model.allocator import keep_freed_memory
from model.checkpoints.checkpoint import load_checkpoint
from model.imaging.canvas import InputRule
from model.imaging.decoding import Picture
from model.predictor import Predictor
from model.structures import Canvas, ImageSize, Selection
from service.images import decode_picture

# Our own pictures need no limit.
_MAX_PIXELS = 10**9


def decode_and_predict(arguments: argparse.Namespace) -> tuple[Go, Facts]:
    """The service's decoding and its `Predictor` in a plain loop: the ceiling of serving. Batches are of one canvas."""
    keep_freed_memory()
    predictor = Predictor.load(arguments.weights, device=arguments.device, precision=arguments.precision)
    pictures = read_pictures(arguments.pictures)
    rotation = batches(pictures, predictor.input_rule, arguments.batch)
    turns = cycle(rotation)
    selection = Selection(nms_iou=predictor.info.nms_iou)

    def go() -> object:
        decoded = [
            decode_picture(data, predictor.input_rule, _MAX_PIXELS, draws=predictor.draws) for data in next(turns)
        ]
        pixels = [picture.pixels for picture in decoded]
        given = ([picture.placement for picture in decoded], [selection] * len(decoded))
        if predictor.draws:
            return predictor.predict_undrawn(pixels, *given)
        return predictor.predict(np.stack(pixels), *given)

    return go, {"goes": len(rotation), "pictures": len(pictures)}


def decode_and_torchvision(arguments: argparse.Namespace) -> tuple[Go, Facts]:
    """Pillow, then torchvision's transform, backbone and RPN, one picture at a time, with an allocator that keeps."""
    keep_freed_memory()  # what preloading tcmalloc does for it
    if arguments.device != "cpu":
        torch.set_float32_matmul_precision("high")  # TF32, as its users set it
    peer = load_peer(arguments.network, arguments.weights).to(arguments.device)
    transform, backbone, rpn = parts(peer)
    pictures = read_pictures(arguments.pictures)
    turns = cycle(pictures)

    def go() -> object:
        pixels = pil_to_tensor(Image.open(io.BytesIO(next(turns))).convert("RGB")).to(arguments.device)
        images, _ = transform([pixels / 255])
        boxes, _ = rpn(images, backbone(images.tensors))
        return boxes[0].cpu()

    return go, {"goes": len(pictures), "pictures": len(pictures)}


def decode_alone(arguments: argparse.Namespace) -> tuple[Go, Facts]:
    """The service's decoding of every picture, one after the other, without laying it on its canvas."""
    keep_freed_memory()
    pictures = read_pictures(arguments.pictures)
    rule = load_checkpoint(arguments.weights).config.input

    def go() -> object:
        return [_decode(data, rule) for data in pictures]

    return go, {"goes": 1, "pictures": len(pictures)}


def batches(pictures: Sequence[bytes], rule: InputRule, size: int) -> list[list[bytes]]:
    """The pictures in batches of one canvas and at most this size; each in one of them, one by one in their order."""
    if size == 1:
        return [[data] for data in pictures]
    groups: dict[Canvas, list[bytes]] = {}
    for data in pictures:
        groups.setdefault(rule.place(_size(data)).canvas, []).append(data)
    return [group[start : start + size] for group in groups.values() for start in range(0, len(group), size)]


def _size(data: bytes) -> ImageSize:
    return Picture(data, max_pixels=_MAX_PIXELS).header.size


def _decode(data: bytes, rule: InputRule) -> Image.Image:
    picture = Picture(data, max_pixels=_MAX_PIXELS)
    return picture.decode_scaled(at_least=rule.place(picture.header.size).content).image
