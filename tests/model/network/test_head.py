import torch

from model.config import HeadConfig
from model.network.head import RPNHead


def test_one_logit_and_four_deltas_per_anchor_in_the_anchors_order():
    head = RPNHead(HeadConfig(), in_channels=4, anchors_per_location=3)
    head.cls_logits.weight.data.zero_()
    head.cls_logits.bias.data = torch.tensor([1.0, 2.0, 3.0])
    head.bbox_pred.weight.data.zero_()
    head.bbox_pred.bias.data = torch.arange(12.0)
    logits, deltas = head([torch.zeros(2, 4, 5, 6), torch.zeros(2, 4, 2, 3)])
    assert [tuple(level.shape) for level in logits] == [(2, 90), (2, 18)]
    assert [tuple(level.shape) for level in deltas] == [(2, 90, 4), (2, 18, 4)]
    assert logits[0][0].tolist() == [1.0, 2.0, 3.0] * 30
    assert deltas[1][1, 4].tolist() == [4.0, 5.0, 6.0, 7.0]  # the place's second anchor


def test_places_go_row_by_row():
    head = RPNHead(HeadConfig(), in_channels=1, anchors_per_location=1)
    head.conv[0][0].weight.data.zero_()
    head.conv[0][0].weight.data[0, 0, 1, 1] = 1.0
    head.cls_logits.weight.data.fill_(1.0)
    (logits,), _ = head([torch.arange(6.0).reshape(1, 1, 2, 3)])
    assert logits[0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_the_softmax_of_two_is_the_sigmoid_of_their_difference():
    torch.manual_seed(0)
    head = RPNHead(HeadConfig(channels=8, objectness="softmax"), in_channels=4, anchors_per_location=9)
    feature = torch.randn(2, 4, 3, 5) * 50
    (logits,), _ = head([feature])
    raw = head.cls_logits(head.conv(feature))  # the paper's layout: nine background maps, then nine foreground maps
    assert raw.shape[1] == 18
    pairs = torch.stack((raw[:, :9], raw[:, 9:]))
    foreground = pairs.softmax(dim=0)[1].permute(0, 2, 3, 1).reshape(2, -1)
    torch.testing.assert_close(logits.sigmoid(), foreground)
