"""The survivors are those of torchvision's greedy walk, however many rounds that takes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import nms

from model.network import suppression
from model.network.suppression import suppress


def greedy(boxes: Tensor, competing: Tensor, iou: float) -> Tensor:
    """torchvision's, of one set (K, 4), highest first."""
    kept = competing.nonzero().squeeze(1)
    scores = torch.arange(len(kept), 0, -1, dtype=torch.float32)
    survivors = torch.zeros_like(competing)
    survivors[kept[nms(boxes[kept], scores, iou)]] = True
    return survivors


def crowd(random: torch.Generator, sets: int, count: int, spread: float) -> Tensor:
    """Boxes (S, K, 4) of some 30 pixels: the less they are spread the more they overlap."""
    corners = torch.rand(sets, count, 2, generator=random) * spread
    return torch.cat((corners, corners + 20 + 20 * torch.rand(sets, count, 2, generator=random)), dim=2)


def chain(count: int) -> Tensor:
    """Each box suppressed by the one before it alone, so that whether it survives hangs on all before: (1, K, 4)."""
    left = torch.arange(count, dtype=torch.float32)[:, None] * 2
    return torch.cat((left, left * 0, left + 10, left * 0 + 10), dim=1)[None]  # neighbours: IoU 8 / 12


@settings(max_examples=120, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 260),
    st.sampled_from([5.0, 60.0, 400.0]),
    st.lists(st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])] * 3), min_size=1, max_size=3),
    st.sampled_from([16, 104, 1024]),
    st.sampled_from([2**12, 2**25]),
)
def test_survivors_are_those_of_torchvision(seed, sets, count, spread, ious, turn, pairs):
    random = torch.Generator().manual_seed(seed)
    boxes = crowd(random, sets, count, spread)
    competing = torch.rand(sets, count, generator=random) < 0.9
    with pytest.MonkeyPatch.context() as patch:  # small ones, that there are several turns of few boxes
        patch.setattr(suppression, "_TURN", turn)
        patch.setattr(suppression, "_PAIRS", pairs)
        survivors, settled = suppress(boxes, competing, torch.tensor(ious)[:, :sets])
    assert settled.all()
    for of_one, at in zip(survivors, ious, strict=True):
        for n in range(sets):
            assert torch.equal(of_one[n], greedy(boxes[n], competing[n], at[n]))


@pytest.mark.parametrize("count", [2, 9, 100, 1100])
def test_a_chain_takes_as_many_rounds_as_it_has_links(count):
    boxes, everything = chain(count), torch.ones(1, count, dtype=torch.bool)
    survivors, settled = suppress(boxes, everything, torch.tensor([[0.5]]))
    assert settled.all()
    assert survivors[0, 0].tolist() == [place % 2 == 0 for place in range(count)]
    rounds = min(count, suppression._TURN)  # the last one finds that nothing changes
    enough, settled = suppress(boxes, everything, torch.tensor([[0.5]]), rounds=rounds)
    assert settled.all()
    assert torch.equal(enough, survivors)
    _, settled = suppress(boxes, everything, torch.tensor([[0.5]]), rounds=rounds - 1)
    assert not settled.any()


def test_each_set_says_for_itself_whether_it_is_settled():
    boxes = torch.cat((chain(40), crowd(torch.Generator().manual_seed(0), 1, 40, 4000.0)))
    _, settled = suppress(boxes, torch.ones(2, 40, dtype=torch.bool), torch.full((1, 2), 0.5), rounds=6)
    assert settled.tolist() == [False, True]


def test_what_does_not_compete_may_be_no_number():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [torch.nan] * 4, [0, 0, 10, 9], [5, 5, 5, 5], [5, 5, 5, 5]]])
    competing = torch.tensor([[True, False, True, True, True]])
    survivors, _ = suppress(boxes, competing, torch.tensor([[0.5]]))
    assert survivors.tolist() == [[[True, False, False, True, True]]]
