import torch
from torchvision.ops import roi_align

from model.config import RefinementConfig
from model.network.refinement import RefinementHead, SampleLayer, as_table

STRIDES = (8, 16, 32)
MAPS = ((40, 48), (20, 24), (10, 12))


def head(grid: int = 7) -> RefinementHead:
    return RefinementHead(RefinementConfig(grid=grid, channels=4, hidden=16), in_channels=6, strides=STRIDES)


def maps(pictures: int = 2, channels: int = 4) -> list[torch.Tensor]:
    return [torch.randn(pictures, channels, *shape) for shape in MAPS]


def sample(
    layer: RefinementHead, features: list[torch.Tensor], boxes: torch.Tensor, pictures: torch.Tensor
) -> torch.Tensor:
    table, shapes = as_table([level.permute(0, 2, 3, 1) for level in features])
    return layer._sample(table, shapes, boxes, pictures, len(features[0]))


def test_sampling_is_roi_align_with_one_point_a_bin():
    # 40 px: sampled from stride 8, far enough from the border that no point leaves the map
    boxes = torch.rand(50, 2) * torch.tensor([260.0, 200]) + 40
    boxes = torch.cat([boxes, boxes + 20 + torch.rand(50, 2) * 20], dim=1)
    pictures = torch.randint(0, 2, (50,))
    features = maps()
    for grid in (5, 7):
        sampled = sample(head(grid), features, boxes, pictures).reshape(50, grid, grid, 4)
        # a grid of P points in steps of a quarter of the box is the middles of P bins in a box P / 4 times as large
        middles, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * grid / 4
        rois = torch.cat([pictures[:, None].float(), middles - sides / 2, middles + sides / 2], dim=1)
        peer = roi_align(features[0], rois, grid, spatial_scale=1 / 8, sampling_ratio=1, aligned=True)
        torch.testing.assert_close(sampled.permute(0, 3, 1, 2), peer, atol=1e-4, rtol=1e-4)


def test_boxes_are_sampled_from_the_level_of_their_size():
    boxes = torch.tensor([[0.0, 0, 48, 48], [0, 0, 96, 96], [0, 0, 192, 192], [0, 0, 384, 300], [0, 0, 2, 1]])
    assert head()._levels(boxes).tolist() == [0, 1, 2, 2, 0]


def test_a_box_gets_the_same_answer_alone_and_among_others():
    layer, features = head().eval(), maps(channels=6)
    boxes = torch.tensor([[10.0, 20, 90, 70], [100, 40, 300, 260], [0, 0, 384, 320], [5, 5, 9, 9]])
    pictures, logits = torch.tensor([0, 1, 0, 1]), torch.randn(4)
    with torch.inference_mode():
        scores, deltas = layer(features, boxes, pictures, logits)
        for i in range(4):
            alone = [f[pictures[i] : pictures[i] + 1] for f in features]
            score, delta = layer(alone, boxes[i : i + 1], torch.tensor([0]), logits[i : i + 1])
            torch.testing.assert_close(score[0], scores[i], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(delta[0], deltas[i], atol=1e-5, rtol=1e-4)


def test_points_beyond_the_picture_read_its_border():
    layer = head(grid=5)
    features = [torch.full((1, 4, *shape), float(level)) for level, shape in enumerate(MAPS)]
    sampled = sample(layer, features, torch.tensor([[-500.0, -500, 900, 900]]), torch.tensor([0]))
    assert torch.equal(sampled, torch.full((1, 100), 2.0))


def test_no_boxes_are_no_answers():
    scores, deltas = head()(maps(channels=6), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    assert scores.shape == (0,)
    assert deltas.shape == (0, 4)


def test_an_untrained_head_hardly_moves_a_box():
    _, deltas = head()(maps(channels=6), torch.tensor([[10.0, 20, 90, 70]]), torch.tensor([0]), torch.zeros(1))
    assert deltas.abs().max() < 0.01


def test_the_first_layer_is_one_product_of_samples_and_what_is_beside_them():
    layer, sampled, beside = SampleLayer(12, 3, 5), torch.randn(4, 12), torch.randn(4, 3)
    whole = torch.nn.functional.linear(torch.cat([sampled, beside], dim=1), layer.weight, layer.bias)
    torch.testing.assert_close(layer(sampled, beside), whole)
    assert set(layer.state_dict()) == {"weight", "bias"}, "the names that older checkpoints have"
