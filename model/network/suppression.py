"""Greedy non-maximum suppression in operations of fixed shapes: nothing waits for the device, nothing is read back.

``torchvision.ops.nms`` answers with as many indices as survive, for which the host must wait; it takes one picture at a
time, or all as one set whose pairs grow by the square of their number. Here pictures and levels are one batch, and the
answer is a mask. The survivors are those of the greedy walk: a box survives if no higher survivor overlaps it, so
whoever knows the survivors above knows its fate, and to judge every box by the last round's survivors, again and again,
comes to rest at exactly these: after n rounds the first n boxes are settled, in practice all of them after a few.

An NVIDIA GPU has kernels that walk (`model.network.cuda_suppression`); the rounds are for where they cannot be had.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from model.network.cuda_suppression import can_suppress, suppress_on_cuda

# A round is a pass over all pairs, a byte each, and nearly all of its time: it reads them eight at once.
_WORD, _BYTES = torch.int64, 8
# Boxes are taken in turns of so many, whole words, highest first: the overlaps of a turn with what stands above it are
# one matrix, whose size bounds the memory, and rounds are needed within a turn alone.
_TURN = 1024
# Pairs whose overlaps are computed at once: 128 MiB for each of the few matrices that stand at the same time.
_PAIRS = 2**25
# How many rounds are added at a time until all is settled.
_MORE_ROUNDS = 8


def suppress(boxes: Tensor, competing: Tensor, ious: Tensor, *, rounds: int | None = None) -> tuple[Tensor, Tensor]:
    """Which boxes of each set no higher survivor overlaps by more than a threshold, at several of them side by side.

    ``boxes``: float32 (S, K, 4) ``xyxy``, highest first; ``competing``: bool (S, K), the others neither survive nor
    suppress; ``ious``: float32 (T, S), each set's own. Returns survivors, bool (T, S, K), and settled, bool (S,):
    whether ``rounds`` were enough for that set. With None as many are made as it takes, and the host waits for each few
    of them.
    """
    if can_suppress(boxes.device, len(ious)):
        survivors: Tensor = suppress_on_cuda(boxes, competing, ious)
        return survivors, competing.new_ones(len(competing))
    count = boxes.shape[1]
    padding = -count % _BYTES
    boxes, competing = F.pad(boxes, (0, 0, 0, padding)), F.pad(competing, (0, padding))
    competing = competing.expand(len(ious), -1, -1)
    turns: list[tuple[Tensor, Tensor]] = []
    settled = torch.ones_like(competing[0, :, 0])
    for start in range(0, count, _TURN):
        turn, left = boxes[:, start : start + _TURN], competing[..., start : start + _TURN]
        for higher, survivors in turns:
            left = left > _reached(_overlapping(turn, higher, ious), survivors)
        survivors, at_rest = _settle(_below(_overlapping(turn, turn, ious)), left, rounds)
        turns.append((turn, survivors))
        settled = settled & at_rest
    return torch.cat([survivors for _, survivors in turns], dim=2)[..., :count], settled


def _settle(over: Tensor, competing: Tensor, rounds: int | None) -> tuple[Tensor, Tensor]:
    survivors, at_rest = _judge(over, competing, competing, _MORE_ROUNDS if rounds is None else rounds)
    while rounds is None and not bool(at_rest.all()):
        survivors, at_rest = _judge(over, competing, survivors, _MORE_ROUNDS)
    return survivors, at_rest


def _judge(over: Tensor, competing: Tensor, survivors: Tensor, rounds: int) -> tuple[Tensor, Tensor]:
    """The survivors after more rounds, and whether the last of them changed nothing: bool (S,)."""
    before = survivors
    for _ in range(rounds):
        survivors, before = competing > _reached(over, survivors), survivors  # of booleans: and not
    return survivors, (survivors == before).all(dim=2).all(dim=0)


def _reached(over: Tensor, survivors: Tensor) -> Tensor:
    """The lower boxes (T, S, M) that some survivor (T, S, H) overlaps, of which box overlaps which (T, S, M, H)."""
    words: Tensor = over.view(_WORD) & survivors.contiguous().view(_WORD)[:, :, None]
    return words.any(dim=3)


def _below(over: Tensor) -> Tensor:
    """Of a turn's overlaps with itself those of a box with a higher one."""
    places = torch.arange(over.shape[2], device=over.device)
    return over & (places[:, None] > places)


def _overlapping(lower: Tensor, higher: Tensor, ious: Tensor) -> Tensor:
    """Which pairs' intersection over union is more than the threshold: bool (T, S, M, H)."""
    sets = ious.shape[1]
    at_once = max(1, _PAIRS // (lower.shape[1] * higher.shape[1]))
    parts = [slice(first, first + at_once) for first in range(0, sets, at_once)]
    found = [_over(lower[part], higher[part], ious[:, part]) for part in parts]
    return found[0] if len(found) == 1 else torch.cat(found, dim=1)  # which would copy one, too


def _over(lower: Tensor, higher: Tensor, ious: Tensor) -> Tensor:
    # In the order of torchvision's operations, so that float32 rounds alike; 0 / 0 where both are empty, which is over
    # no threshold. Plane by plane, for the (S, M, H, 4) of both together would be four times as much memory.
    left, top, right, bottom = lower[:, :, None].unbind(dim=3)
    other_left, other_top, other_right, other_bottom = higher[:, None].unbind(dim=3)
    intersection = (torch.minimum(right, other_right) - torch.maximum(left, other_left)).clamp_(min=0)
    intersection *= (torch.minimum(bottom, other_bottom) - torch.maximum(top, other_top)).clamp_(min=0)
    union = (right - left) * (bottom - top) + (other_right - other_left) * (other_bottom - other_top)
    return intersection / (union - intersection) > ious[..., None, None]
