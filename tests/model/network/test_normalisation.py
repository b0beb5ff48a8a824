import torch
from torchvision.transforms.functional import normalize

from model.config import longest_side_rule
from model.network.normalisation import Normalisation


def test_equal_to_torchvision_inside_and_zero_in_the_padding():
    rule = longest_side_rule(64)
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    out = Normalisation(rule)(pixels, torch.tensor([[64.0, 40.0], [10.0, 64.0]]))
    expected = normalize(pixels.permute(0, 3, 1, 2) / 255.0, list(rule.mean), list(rule.std))
    torch.testing.assert_close(out[0, :, :40], expected[0, :, :40])
    torch.testing.assert_close(out[1, :, :, :10], expected[1, :, :, :10])
    assert (out[0, :, 40:] == 0).all()
    assert (out[1, :, :, 10:] == 0).all()
    assert out.is_contiguous(memory_format=torch.channels_last)
