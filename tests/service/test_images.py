import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from model.errors import TooManyPixels
from model.structures import ImageSize
from service.errors import Overloaded
from service.images import Decoder
from tests.service.fakes import TALL, FakePredictor, picture, running, until

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


@contextmanager
def held_up(decoder: Decoder) -> Iterator[None]:
    """Its only thread has something else to do meanwhile."""
    over = threading.Event()
    decoder._threads.submit(over.wait)
    try:
        yield
    finally:
        over.set()


async def test_the_bytes_of_who_has_gone_are_let_go_before_their_turn():
    decoder = Decoder(threads=1, max_pixels=10_000)
    data = picture(1, 80, 60)
    referred = sys.getrefcount(data)
    with held_up(decoder):
        asked = asyncio.create_task(decoder.decode(data, FakePredictor().input_rule))
        await until(lambda: sys.getrefcount(data) > referred)
        asked.cancel()
        await asyncio.wait([asked])
        assert asked.cancelled()
        del asked
        assert sys.getrefcount(data) == referred
    decoder.close()


async def test_who_would_wait_for_other_pictures_beyond_his_deadline_is_refused_at_once():
    decoder = Decoder(threads=1, max_pixels=10_000)
    now, rule = asyncio.get_running_loop().time(), FakePredictor().input_rule
    decoder._pace.measured(10.0)
    with held_up(decoder):
        first = asyncio.create_task(decoder.decode(picture(1, 80, 60), rule, deadline=now + 5))
        await until(lambda: decoder._in_hand == 1)
        with pytest.raises(Overloaded) as caught:
            await decoder.decode(picture(2, 80, 60), rule, deadline=now + 15)
        assert caught.value.retry_after == 20
        patient = asyncio.create_task(decoder.decode(picture(2, 80, 60), rule, deadline=now + 60))
        await until(lambda: decoder._in_hand == 2)
    assert [decoded.pixels.shape for decoded in (await first, await patient)] == [(48, 64, 3)] * 2
    assert decoder._in_hand == 0
    assert decoder._pace.seconds_for(1) < 10, "what these two took counts from now on"
    decoder.close()


async def test_a_request_that_would_wait_for_decoding_beyond_its_deadline_is_told_so():
    async with running(deadline_s=15, decode_threads=1) as service:
        service.service.decoder._pace.measured(10.0)
        with held_up(service.service.decoder):
            first = asyncio.create_task(service.propose(picture(1)))
            await until(lambda: service.service.decoder._in_hand == 1)
            refused = await service.propose(picture(2))
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "20")
        assert (await first).status_code == 200
