"""The issue's list of what callers get wrong: each its own answer, never a fault of ours."""

import asyncio
import gzip
import re
import struct
import zlib

import httpx
import pytest

from tests.service.fakes import FakePredictor, image_parts, picture, running, until

pytestmark = pytest.mark.anyio

LIMIT = 30_000


def bomb(width: int, height: int) -> bytes:
    """A PNG that declares so many pixels and has next to none of them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def check_problem(response: httpx.Response, status: int, code: str) -> dict:
    assert response.headers["Content-Type"] == "application/problem+json"
    document = response.json()
    assert (response.status_code, document["status"], document["code"]) == (status, status, code)
    assert document["type"] == f"urn:rpn:problem:{code}"
    assert document["request_id"] == response.headers["X-Request-ID"]
    assert document["title"]
    assert document["detail"]
    return document


BODIES = {
    "empty": (b"", 422, "missing_image"),
    "truncated": (picture(1)[:-2000], 422, "undecodable_image"),
    "truncated jpeg": (picture(1, kind="JPEG")[:400], 422, "undecodable_image"),
    "header alone": (picture(1)[:20], 422, "undecodable_image"),
    "signature alone": (b"\xff\xd8\xff", 422, "undecodable_image"),
    "corrupt": (picture(1)[:100] + b"\0" * 500, 422, "undecodable_image"),
    "text": (b"hello, this is no picture", 415, "unsupported_format"),
    "pdf": (b"%PDF-1.7 ...", 415, "unsupported_format"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_format"),
    "one byte": (b"\0", 415, "unsupported_format"),
    "too large": (b"x" * (LIMIT + 1), 413, "payload_too_large"),
    "too many pixels": (bomb(60_000, 60_000), 413, "too_many_pixels"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_raw(name):
    data, status, code = BODIES[name]
    async with running(max_upload_bytes=LIMIT) as service:
        check_problem(await service.propose(data), status, code)
        assert service.service.admission.held == 0


@pytest.mark.parametrize("name", BODIES)
async def test_multipart(name):
    data, status, code = BODIES[name]
    async with running(max_upload_bytes=LIMIT) as service:
        check_problem(await service.client.post("/propose", files=image_parts(data)), status, code)
        assert service.service.admission.held == 0


async def test_the_most_pixels_are_the_setting_s():
    async with running(max_pixels=80 * 60) as service:
        assert (await service.propose(picture(1))).status_code == 200
        check_problem(await service.propose(picture(1, 80, 61)), 413, "too_many_pixels")


async def test_body_counted_without_content_length():
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 10_000

    async with running(max_upload_bytes=LIMIT) as service:
        response = await service.client.post("/propose", content=endless())
    check_problem(response, 413, "payload_too_large")
    assert sent <= 5


async def test_declared_length_is_refused_unread():
    read = False

    async def body():
        nonlocal read
        read = True
        yield b"x"

    async with running(max_upload_bytes=LIMIT) as service:
        headers = {"Content-Length": str(LIMIT + 1)}
        check_problem(await service.client.post("/propose", content=body(), headers=headers), 413, "payload_too_large")
    assert not read


async def test_whole_multipart_body_has_a_limit_too():
    async with running(max_upload_bytes=LIMIT, max_request_bytes=2 * LIMIT) as service:
        files = image_parts(*[picture(i) for i in range(5)])
        check_problem(await service.client.post("/propose", files=files), 413, "payload_too_large")


async def test_too_many_pictures():
    async with running(max_pictures=2) as service:
        response = await service.client.post("/propose", files=image_parts(*[picture()] * 3))
    check_problem(response, 413, "too_many_pictures")


async def test_form_without_the_field_names_what_it_has():
    async with running() as service:
        response = await service.client.post("/propose", files={"file": ("a.png", picture(), "image/png")})
    assert "'file'" in check_problem(response, 422, "missing_image")["detail"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=B", b"nonsense"),
        ("multipart/form-data; boundary=B", b'--B\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc'),
    ],
)
async def test_malformed_multipart(content_type, body):
    async with running() as service:
        response = await service.client.post("/propose", content=body, headers={"Content-Type": content_type})
    check_problem(response, 422, "malformed_multipart")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("top_n", "0"),
        ("top_n", "1001"),
        ("top_n", "many"),
        ("top_n", "1.5"),
        ("score_threshold", "1.01"),
        ("score_threshold", "-0.1"),
        ("score_threshold", "nan"),
        ("nms_iou", "nan"),
        ("nms_iou", "inf"),
        ("nms_iou", "2"),
        ("box_format", "yolo"),
        ("normalized", "maybe"),
        ("top_m", "5"),
        ("model", "nobody"),
    ],
)
async def test_bad_parameter_is_named_before_the_body_is_read(parameter, value):
    fake = FakePredictor()
    async with running(fake) as service:
        response = await service.propose(b"", **{parameter: value})
    code = "unknown_model" if parameter == "model" else "invalid_parameter"
    document = check_problem(response, 422, code)
    assert document["errors"][0]["parameter"] == parameter
    assert parameter in document["detail"]


async def test_every_bad_parameter_is_named():
    async with running() as service:
        response = await service.propose(picture(), top_n=0, nms_iou=7, typo=1)
    named = {fault["parameter"] for fault in response.json()["errors"]}
    assert named == {"top_n", "nms_iou", "typo"}


async def test_a_client_that_stalls_is_told():
    async def stalling():
        yield picture()[:100]
        await asyncio.sleep(60)

    async with running(body_timeout_s=0.05) as service:
        response = await service.client.post("/propose", content=stalling())
        check_problem(response, 408, "upload_timeout")
        assert response.json()["detail"] == "the upload stalled after 100 bytes"
        assert response.headers["Connection"] == "close"
        assert service.service.admission.held == 0


async def test_a_client_that_drips_is_told():
    async def dripping():
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    async with running(upload_timeout_s=0.2) as service:
        response = await service.client.post("/propose", content=dripping())
        check_problem(response, 408, "upload_timeout")
        assert re.fullmatch(
            r"after 0\.2 s the upload has not come to its end; it has \d+ bytes", response.json()["detail"]
        )


@pytest.mark.parametrize(
    ("header", "value"),
    [("Content-Encoding", "gzip"), ("Content-Encoding", "BR"), ("Transfer-Encoding", "gzip, chunked")],
)
async def test_a_body_that_is_packed_is_refused_by_its_coding(header: str, value: str):
    async with running() as service:
        response = await service.client.post("/propose", content=gzip.compress(picture()), headers={header: value})
        check_problem(response, 415, "unsupported_format")
        assert (
            response.json()["detail"] == f"the body is sent with {header.lower()} {value.lower()!r}; send it as it is"
        )
        for plain in ({"Content-Encoding": "identity"}, {"Content-Encoding": ""}):
            assert (await service.client.post("/propose", content=picture(), headers=plain)).status_code == 200


async def test_unknown_path_and_method():
    async with running() as service:
        check_problem(await service.client.get("/nothing"), 404, "not_found")
        response = await service.client.get("/propose")
        check_problem(response, 405, "method_not_allowed")
        assert response.headers["Allow"] == "POST"
        for path in ("/healthz", "/models", "/docs"):
            response = await service.client.post(path)
            check_problem(response, 405, "method_not_allowed")
            assert response.headers["Allow"] == "GET, HEAD"
            assert (await service.client.head(path)).status_code == 200


async def test_a_query_of_thousands_is_refused_in_a_few_words():
    async with running() as service:
        response = await service.client.post("/propose?" + "&".join(f"p{i}=1" for i in range(5000)))
        document = check_problem(response, 422, "invalid_parameter")
        assert document["errors"] == [{"parameter": "query", "reason": "has more than 32 parameters"}]
        response = await service.client.post("/propose", params={"p" * 5000: 1})
        assert check_problem(response, 422, "invalid_parameter")["errors"][0]["parameter"] == "p" * 64 + "…"
        for query, code in (
            ("&".join(["p" * 5000 + "=1"] * 2), "invalid_parameter"),
            ("model=" + "m" * 5000, "unknown_model"),
        ):
            response = await service.client.post(f"/propose?{query}")
            check_problem(response, 422, code)
            assert len(response.content) < 1000


async def test_bodies_share_a_room():
    fake, data = FakePredictor(), picture()
    room = {"max_upload_bytes": len(data), "max_request_bytes": len(data), "max_held_bytes": 2 * len(data)}
    async with running(fake, **room) as service:
        fake.gate.clear()
        held = [asyncio.create_task(service.propose(data)) for _ in range(2)]
        await until(lambda: service.service.admission.held_bytes == 2 * len(data))
        response = await service.propose(data)
        check_problem(response, 429, "overloaded")
        assert int(response.headers["Retry-After"]) >= 1
        fake.gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*held)} == {200}
        assert (await service.propose(data)).status_code == 200
        assert service.service.admission.held_bytes == 0


async def test_the_unexpected_is_a_problem_too(caplog):
    async with running() as service:
        service.service.admission = None  # any fault of ours
        document = check_problem(await service.propose(picture()), 500, "internal_error")
    assert "NoneType" not in str(document)
    assert "NoneType" in caplog.text


async def test_a_request_id_is_taken_over_if_it_is_sane():
    async with running() as service:
        for given, taken in [("abc-1.2:3", True), ("a b", False), ("x" * 129, False), ("<script>", False)]:
            response = await service.client.get("/healthz", headers={"X-Request-ID": given})
            assert (response.headers["X-Request-ID"] == given) is taken


async def test_a_bad_neighbour_changes_no_answer():
    fake = FakePredictor()
    async with running(fake) as service:
        alone = (await service.propose(picture(1))).json()["proposals"]
        fake.gate.clear()
        holding = asyncio.create_task(service.propose(picture(9)))
        await until(lambda: fake.batches[1:] != [])
        asking = [asyncio.create_task(service.propose(d)) for d in (picture(1), picture(2)[:300], b"GARBAGE")]
        await until(lambda: service.service.admission.held == 2)
        fake.gate.set()
        responses = await asyncio.gather(holding, *asking)
    assert [response.status_code for response in responses] == [200, 200, 422, 415]
    assert responses[1].json()["proposals"] == alone


async def test_a_picture_of_exactly_the_limit_is_taken():
    data = picture()
    async with running(max_upload_bytes=len(data)) as service:
        assert (await service.propose(data)).status_code == 200
        answer = await service.client.post("/propose", files=image_parts(data, data + b"\0"))
    taken, refused = answer.json()["results"]
    assert taken["count"] == 300
    assert refused["code"] == "payload_too_large"


@pytest.mark.parametrize("kind", ["multipart/form-data", "Multipart/Form-Data", " MULTIPART/FORM-DATA"])
async def test_the_content_type_is_of_either_case(kind: str):
    body = b'--B\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + picture() + b"\r\n--B--\r\n"
    async with running() as service:
        answer = await service.client.post("/propose", content=body, headers={"Content-Type": f"{kind}; boundary=B"})
    assert answer.status_code == 200
