import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection._utils import BoxCoder

from model.host.box_planes import SCALE_CLAMP, decode_planes
from model.network.box_coding import decode_deltas, encode_boxes

coordinates = st.floats(-500, 1500, width=32)
sides = st.floats(1, 800, width=32)
boxes = st.tuples(coordinates, coordinates, sides, sides).map(lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]])


@given(st.lists(st.tuples(boxes, boxes), min_size=1, max_size=8))
def test_decoding_undoes_encoding(pairs):
    box, anchor = (torch.tensor(side) for side in zip(*pairs, strict=True))
    ratio = (box[:, 2:] - box[:, :2]) / (anchor[:, 2:] - anchor[:, :2])
    representable = (ratio.log() < SCALE_CLAMP).all(dim=1)
    decoded = decode_deltas(encode_boxes(box, anchor), anchor)
    torch.testing.assert_close(decoded[representable], box[representable], rtol=1e-4, atol=0.05)


@given(st.lists(st.tuples(boxes, st.tuples(*[st.floats(-9, 9, width=32)] * 4)), min_size=1, max_size=8))
def test_planes_on_the_host_decode_alike(pairs):
    anchors, deltas = (torch.tensor(side) for side in zip(*pairs, strict=True))
    planes = decode_planes(deltas.numpy().T, anchors.numpy().T)
    torch.testing.assert_close(torch.from_numpy(planes.T), decode_deltas(deltas, anchors), rtol=1e-6, atol=1e-3)


def test_by_hand():
    anchor = torch.tensor([[0.0, 0.0, 10.0, 20.0]])  # centre (5, 10)
    box = torch.tensor([[6.0, 5.0, 26.0, 25.0]])  # centre (16, 15), 20 x 20
    expected = torch.tensor([[1.1, 0.25, math.log(2.0), 0.0]])
    torch.testing.assert_close(encode_boxes(box, anchor), expected)
    torch.testing.assert_close(decode_deltas(expected, anchor), box)


def test_equal_to_torchvision_to_the_last_bit():
    generator = torch.Generator().manual_seed(3)
    anchors = torch.rand(500, 4, generator=generator) * 100
    anchors[:, 2:] += anchors[:, :2] + 1
    deltas = torch.randn(500, 4, generator=generator) * 3
    peer = BoxCoder((1.0, 1.0, 1.0, 1.0))
    decoded = peer.decode_single(deltas, anchors)
    assert torch.equal(decode_deltas(deltas, anchors), decoded)
    targets = anchors + torch.rand(500, 4, generator=generator)
    assert torch.equal(encode_boxes(targets, anchors), peer.encode_single(targets, anchors))


def test_huge_deltas_stay_finite():
    decoded = decode_deltas(torch.full((1, 4), 1e4), torch.tensor([[0.0, 0.0, 16.0, 16.0]]))
    assert decoded.isfinite().all()
    assert (decoded[0, 2] - decoded[0, 0]).item() == 1000.0
