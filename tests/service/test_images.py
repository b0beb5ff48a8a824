import pytest

from model.errors import TooManyPixels
from model.structures import ImageSize
from service.images import Decoder
from tests.service.fakes import TALL, FakePredictor, picture

pytestmark = pytest.mark.anyio


async def test_a_picture_comes_upright_on_its_canvas():
    decoder = Decoder(threads=1, max_pixels=10_000)
    sideways = picture(
        1, 80, 60, kind="JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    )
    decoded = await decoder.decode(sideways, FakePredictor().input_rule)
    assert decoded.header.exif_orientation == 6
    assert decoded.placement.image == ImageSize(60, 80)
    assert decoded.placement.canvas == TALL
    assert decoded.pixels.shape == (64, 48, 3)
    assert decoded.decode_ms > 0
    assert decoded.wait_ms >= 0
    decoder.close()


async def test_for_a_model_that_resizes_itself_it_comes_as_it_was_decoded():
    decoder = Decoder(threads=1, max_pixels=10_000)
    decoded = await decoder.decode(picture(1, 80, 60), FakePredictor().input_rule, draws=True)
    assert decoded.pixels.shape == (60, 80, 3)
    assert decoded.placement.content == ImageSize(64, 48)
    decoder.close()


async def test_pixels_are_counted_before_decoding():
    decoder = Decoder(threads=1, max_pixels=100)
    with pytest.raises(TooManyPixels):
        await decoder.decode(picture(1, 11, 10)[:60], FakePredictor().input_rule)  # the header alone is there
    decoder.close()
