import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator as TorchvisionAnchors
from torchvision.models.detection.image_list import ImageList

from model.config import AnchorConfig
from model.errors import ConfigError
from model.host.anchors import cell_anchors
from model.network.anchors import AnchorGenerator
from model.structures import Canvas

# What py-faster-rcnn's generate_anchors() returns for base size 16, ratios 0.5, 1, 2 and scales 8, 16, 32: inclusive
# pixels, counted from 0. Its comment quotes the MATLAB values, which are one higher since MATLAB counts from 1.
PAPER_ANCHORS = [
    [-84, -40, 99, 55],
    [-176, -88, 191, 103],
    [-360, -184, 375, 199],
    [-56, -56, 71, 71],
    [-120, -120, 135, 135],
    [-248, -248, 263, 263],
    [-36, -80, 51, 95],
    [-80, -168, 95, 183],
    [-168, -344, 183, 359],
]
MATLAB_ANCHORS = [
    [-83, -39, 100, 56],
    [-175, -87, 192, 104],
    [-359, -183, 376, 200],
    [-55, -55, 72, 72],
    [-119, -119, 136, 136],
    [-247, -247, 264, 264],
    [-35, -79, 52, 96],
    [-79, -167, 96, 184],
    [-167, -343, 184, 360],
]


def paper_config() -> AnchorConfig:
    return AnchorConfig(sizes=((128.0, 256.0, 512.0),), convention="paper")


def test_the_nine_anchors_are_those_of_the_papers_code():
    inclusive = cell_anchors(paper_config(), (128.0, 256.0, 512.0), 16)
    inclusive[:, 2:] -= 1  # from exclusive edges to the last pixel inside
    assert inclusive.tolist() == PAPER_ANCHORS
    assert (inclusive + 1).tolist() == MATLAB_ANCHORS


def test_paper_anchors_repeat_every_stride():
    (level,) = AnchorGenerator(paper_config(), (16,))(Canvas(64, 48), ((3, 4),), torch.device("cpu"))
    first = torch.from_numpy(cell_anchors(paper_config(), (128.0, 256.0, 512.0), 16))
    place = 1 * 4 + 2  # row 1, column 2
    assert level.boxes.shape == (3 * 4 * 9, 4)
    assert torch.equal(level.boxes[place * 9 : place * 9 + 9], first + torch.tensor([32.0, 16.0, 32.0, 16.0]))
    assert level.centres[place * 9].tolist() == [40.0, 24.0]


def test_torchvision_cell_by_hand():
    config = AnchorConfig(sizes=((32.0,),))
    # 32 / sqrt(0.5) = 45.25 wide and 22.63 high: half sides 22.63 and 11.31, rounded to 23 and 11
    expected = [[-23, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23]]
    assert cell_anchors(config, (32.0,), 4).tolist() == expected


def test_centred_cell_by_hand():
    config = AnchorConfig(sizes=((10.0,),), aspect_ratios=(1.0, 4.0), convention="centred")
    # 10 px square, and 5 x 20 px: both around the middle of an 8 px cell
    assert cell_anchors(config, (10.0,), 8).tolist() == [[-1, -1, 9, 9], [1.5, -6, 6.5, 14]]


@pytest.mark.parametrize("canvas", [Canvas(320, 320), Canvas(416, 256), Canvas(224, 320), Canvas(96, 640)])
def test_equal_to_torchvision_on_every_level(canvas: Canvas):
    sizes = ((32.0, 64.0), (64.0, 128.0), (128.0, 256.0))
    strides = (8, 16, 64)
    maps = tuple((-(-canvas.height // s), -(-canvas.width // s)) for s in strides)
    peer = TorchvisionAnchors(sizes, ((0.5, 1.0, 2.0),) * 3)
    pictures = ImageList(torch.zeros(1, 3, canvas.height, canvas.width), [(canvas.height, canvas.width)])
    expected = peer(pictures, [torch.zeros(1, 1, h, w) for h, w in maps])[0]
    ours = AnchorGenerator(AnchorConfig(sizes=sizes), strides)(canvas, maps, torch.device("cpu"))
    assert torch.equal(torch.cat([level.boxes for level in ours]), expected)


def test_area_is_the_size_squared_whatever_the_ratio():
    config = AnchorConfig(sizes=((10.0, 37.5),), aspect_ratios=(0.25, 1.0, 3.0), convention="centred")
    boxes = torch.from_numpy(cell_anchors(config, (10.0, 37.5), 8))
    sides = boxes[:, 2:] - boxes[:, :2]
    torch.testing.assert_close(sides.prod(dim=1), torch.tensor([100.0, 1406.25]).repeat(3))
    torch.testing.assert_close(sides[:, 1] / sides[:, 0], torch.tensor([0.25, 0.25, 1, 1, 3, 3]))


def test_levels_and_strides_must_match():
    with pytest.raises(ConfigError, match="1 levels of sizes for 2 feature levels"):
        AnchorGenerator(AnchorConfig(sizes=((32.0,),)), (8, 16))
