import asyncio
import io
import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.images import decode_picture
from service.schemas import Answer, Answers
from service.settings import ModelSource
from tests.service.fakes import (
    PATIENCE_S,
    TALL,
    WIDE,
    FakePredictor,
    boxes_of,
    expected_boxes,
    image_parts,
    picture,
    running,
    until,
)

pytestmark = pytest.mark.anyio


async def test_a_raw_body_is_answered_as_documented():
    data = picture(1, 80, 60)
    async with running() as service:
        response = await service.propose(data, top_n=20)
    answer = response.json()
    assert response.status_code == 200
    assert Answer.model_validate(answer, strict=False).model_dump(mode="json") == answer
    assert answer["model"] == {"name": "general", "version": "7", "digest": "sha256:" + "0" * 64}
    assert answer["image"] == {"width": 80, "height": 60, "exif_orientation": 1}
    assert (answer["box_format"], answer["normalized"]) == ("xyxy", False)
    assert (answer["count"], answer["truncated"]) == (20, True)
    assert boxes_of(answer) == expected_boxes(data, top_n=20)
    scores = [proposal["score"] for proposal in answer["proposals"]]
    assert scores == sorted(scores, reverse=True)


async def test_a_model_that_resizes_itself_is_given_the_picture_as_it_was_decoded():
    data, fake = picture(1, 80, 60), FakePredictor()
    fake.draws = True
    async with running(fake) as service:
        answers = [(await service.propose(data)).json() for _ in range(2)]
    assert fake.undrawn == [(60, 80, 3)] * 2
    assert boxes_of(answers[0]) == boxes_of(answers[1]) == expected_boxes(data)


async def test_a_thousand_boxes_hold_against_the_schema():
    async with running() as service:
        answer = (await service.propose(picture(), top_n=1000)).json()
    assert Answer.model_validate(answer).model_dump(mode="json") == answer
    assert answer["count"] == 1000
    assert not answer["truncated"]


async def test_a_multipart_field_is_answered_the_same():
    data = picture(2)
    async with running() as service:
        multipart = await service.client.post("/propose", files={"image": ("a.png", data, "image/png")})
        raw = await service.propose(data)
    assert boxes_of(multipart.json()) == boxes_of(raw.json()) == expected_boxes(data)


@pytest.mark.parametrize(
    "content_type", ["image/jpeg", "application/octet-stream", "application/x-www-form-urlencoded", None]
)
async def test_a_raw_body_may_have_any_content_type(content_type):
    headers = {"Content-Type": content_type} if content_type else {}
    async with running() as service:
        response = await service.client.post("/propose", content=picture(), headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
async def test_every_format_is_read(kind):
    data = picture(3, kind=kind)
    async with running() as service:
        response = await service.propose(data)
    assert response.status_code == 200
    assert boxes_of(response.json()) == expected_boxes(data)


async def test_timings_are_in_the_answer_and_in_the_header():
    async with running() as service:
        response = await service.propose(picture())
    timings = response.json()["timings_ms"]
    assert set(timings) == {"decode", "queue", "inference"}
    assert all(value >= 0 for value in timings.values())
    assert response.headers["Server-Timing"] == ", ".join(f"{name};dur={value}" for name, value in timings.items())


async def test_timings_are_milliseconds(caplog: pytest.LogCaptureFixture):
    """Two pictures, one after the other a quarter of a second on the device; one takes long to decode."""
    caplog.set_level(logging.INFO, "service.requests")
    fake = FakePredictor()
    fake.fault = lambda pixels: time.sleep(0.25)
    async with running(fake, max_batch=1) as service:
        both = await asyncio.gather(service.propose(picture(1)), service.propose(picture(2, 3000, 2000)))
        first, second = sorted((one.json()["timings_ms"] for one in both), key=lambda timings: timings["queue"])
    assert 250 <= first["inference"] < 5000
    assert 250 <= second["inference"] < 5000
    assert max(first["decode"], second["decode"]) > 20
    for line in (record for record in caplog.records if record.name == "service.requests"):
        assert sum(line.timings_ms.values()) <= line.total_ms < 10_000


async def test_waiting_for_the_device_is_told_in_milliseconds():
    fake = FakePredictor()
    fake.fault = lambda pixels: time.sleep(0.25)
    async with running(fake, max_batch=1) as service:
        answers = await asyncio.gather(*(service.propose(picture(seed)) for seed in range(3)))
    queues = sorted(one.json()["timings_ms"]["queue"] for one in answers)
    assert queues[1] > 150
    assert queues[2] > 400


async def test_several_pictures_give_a_result_or_a_problem_each_in_order(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "service.requests")
    good, other = picture(1), picture(2, 60, 80)
    async with running(max_upload_bytes=30_000) as service:
        files = image_parts(good, good[:200], b"GARBAGE", b"", b"x" * 30_001, other)
        response = await service.client.post("/propose", files=files)
    answers = response.json()
    assert response.status_code == 200
    assert Answers.model_validate(answers).model_dump(mode="json", exclude_none=True) == answers
    results = answers["results"]
    assert [one.get("code") for one in results] == [
        None,
        "undecodable_image",
        "unsupported_format",
        "missing_image",
        "payload_too_large",
        None,
    ]
    assert [one["status"] for one in results[1:-1]] == [422, 415, 422, 413]
    (line,) = (vars(record) for record in caplog.records if record.name == "service.requests")
    assert line["codes"] == {one["code"]: 1 for one in results[1:-1]}
    assert [(one["index"], one["filename"]) for one in results[1:-1]] == [(i, f"{i}.png") for i in (1, 2, 3, 4)]
    assert {one["request_id"] for one in results[1:-1]} == {answers["request_id"]}
    assert boxes_of(results[0]) == expected_boxes(good)
    assert boxes_of(results[-1]) == expected_boxes(other)


async def test_a_fault_of_ours_costs_one_picture_alone():
    good, bad = picture(1), picture(2)
    fake = FakePredictor()
    marked = decode_picture(bad, fake.input_rule, 10**9).pixels

    def fault(pixels):
        if any((one == marked).all() for one in pixels):
            raise RuntimeError("a bug")

    fake.fault = fault
    async with running(fake) as service:
        response = await service.client.post("/propose", files=image_parts(good, bad, good))
    results = response.json()["results"]
    assert [one.get("status") for one in results] == [None, 500, None]
    assert "bug" not in response.text
    assert boxes_of(results[0]) == expected_boxes(good)


async def test_a_fault_outside_the_model_is_a_problem_of_each_picture(caplog):
    async with running() as service:
        decoder, service.service.decoder = service.service.decoder, None  # any fault of ours
        response = await service.client.post("/propose", files=image_parts(picture(1), picture(2)))
        service.service.decoder = decoder
    assert [one["code"] for one in response.json()["results"]] == ["internal_error"] * 2
    assert "NoneType" not in response.text
    assert "NoneType" in caplog.text


async def test_options_reach_the_model():
    data = picture(4)
    async with running() as service:
        response = await service.propose(data, score_threshold=0.9, top_n=1000)
    answer = response.json()
    assert 0 < answer["count"] < 200
    assert boxes_of(answer) == expected_boxes(data, score_threshold=0.9, top_n=1000)
    assert all(proposal["score"] >= 0.9 for proposal in answer["proposals"])


async def test_box_formats_are_one_truth_in_three_spellings():
    data = picture(5, 80, 60)
    async with running() as service:
        xyxy = boxes_of((await service.propose(data, top_n=5)).json())
        centred = (await service.propose(data, top_n=5, box_format="cxcywh", normalized="true")).json()
    assert (centred["box_format"], centred["normalized"]) == ("cxcywh", True)
    for (x1, y1, x2, y2), (cx, cy, w, h) in zip(xyxy, boxes_of(centred), strict=True):
        assert (cx - w / 2) * 80 == pytest.approx(x1, abs=0.02)
        assert (cy - h / 2) * 60 == pytest.approx(y1, abs=0.02)
        assert (cx + w / 2) * 80 == pytest.approx(x2, abs=0.02)
        assert (cy + h / 2) * 60 == pytest.approx(y2, abs=0.02)


async def test_no_proposals_are_an_answer_too():
    async with running(FakePredictor(found=0)) as service:
        answer = (await service.propose(picture())).json()
    assert (answer["proposals"], answer["count"], answer["truncated"]) == ([], 0, False)


async def test_exif_is_applied_and_stated():
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0"
    async with running() as service:
        answer = (await service.propose(picture(1, 80, 60, kind="JPEG", exif=exif))).json()
    assert answer["image"] == {"width": 60, "height": 80, "exif_orientation": 8}


async def test_models_are_asked_for_by_name():
    fakes = {"x": FakePredictor("one"), "y": FakePredictor("two", found=3)}
    async with running(lambda path, device: fakes[path.stem], models="first=x,second=y") as service:
        default = (await service.propose(picture())).json()
        second = (await service.propose(picture(), model="second")).json()
        unknown = await service.propose(picture(), model="third")
        unset = await service.propose(picture(), model="")  # as a script's variable may be: not another model's boxes
    assert (default["model"]["name"], second["model"]["name"]) == ("first", "second")
    assert second["count"] == 3
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_model")
    assert unknown.json()["errors"][0]["parameter"] == "model"
    assert "first, second" in unknown.json()["detail"]
    assert (unset.status_code, unset.json()["code"]) == (422, "unknown_model")


async def test_callers_at_once_each_get_what_they_get_alone():
    pictures = [picture(i, 80, 60) if i % 3 else picture(i, 60, 80) for i in range(8)]
    fake = FakePredictor()
    async with running(fake, decode_threads=2) as service:
        fake.gate.clear()
        holding = asyncio.create_task(service.propose(picture(99)))
        await until(lambda: len(fake.batches) == 1)
        asking = [asyncio.create_task(service.propose(data)) for data in pictures]
        await until(lambda: service.service.batcher(None).waiting == 8)
        fake.gate.set()
        responses = await asyncio.gather(*asking)
        await holding
    for data, response in zip(pictures, responses, strict=True):
        assert boxes_of(response.json()) == expected_boxes(data)
    assert {canvas for canvas, _ in fake.batches} == {WIDE, TALL}
    assert len(fake.batches) == 3, "the one that held the device, then one batch for each canvas"


async def test_deadline_is_a_problem_of_its_own():
    fake = FakePredictor()
    async with running(fake, deadline_s=0.2, body_timeout_s=60) as service:
        fake.gate.clear()
        holding = asyncio.create_task(service.propose(picture(1)))
        waiting = asyncio.create_task(service.propose(picture(2)))
        responses = await asyncio.wait_for(asyncio.gather(holding, waiting), 8)
        fake.gate.set()
        assert [response.status_code for response in responses] == [504, 504]
        assert responses[1].json()["code"] == "deadline_exceeded"
        await until(lambda: not service.service.engine.turn.locked())
        assert len(fake.batches) <= 1, "what nobody waits for never reaches the device"
        assert service.service.admission.held == 0


async def test_no_permit_no_reading():
    fake = FakePredictor()
    read = 0

    async def body():
        nonlocal read
        read += 1
        yield picture()

    async with running(fake, max_requests=2) as service:
        fake.gate.clear()
        held = [asyncio.create_task(service.propose(picture(i))) for i in range(2)]
        await until(lambda: service.service.admission.held == 2)
        refused = await service.client.post("/propose", content=body())
        fake.gate.set()
        assert {response.status_code for response in await asyncio.gather(*held)} == {200}
        assert (await service.propose(picture())).status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
    assert int(refused.headers["Retry-After"]) >= 1
    assert read == 0


@pytest.mark.parametrize("data", [picture(), b"", b"GARBAGE", picture()[:100], b"x" * 50_000])
async def test_permits_come_back_on_every_path(data):
    async with running(max_upload_bytes=20_000) as service:
        await service.propose(data)
        await service.client.post("/propose", files=image_parts(data, data))
        assert service.service.admission.held == 0


async def test_before_the_models_are_loaded():
    gate = threading.Event()

    def slow(path, device):
        assert gate.wait(PATIENCE_S)
        return FakePredictor()

    async with running(slow, wait=False) as service:
        refused = await service.propose(picture())
        assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
        assert (await service.client.get("/healthz")).status_code == 200
        assert (await service.client.get("/readyz")).json()["detail"] == "models are being loaded"
        assert (await service.client.get("/models")).json() == {"default": None, "models": []}
        gate.set()
        await until(lambda: service.service.lifecycle.phase == "ready")
        assert (await service.propose(picture())).status_code == 200


async def test_draining_finishes_what_was_accepted_and_refuses_the_new():
    fake = FakePredictor()
    async with running(fake) as service:
        fake.gate.clear()
        accepted = asyncio.create_task(service.propose(picture(1)))
        await until(lambda: len(fake.batches) == 1)
        service.service.lifecycle.leave()
        assert (await service.client.get("/readyz")).status_code == 503
        late = asyncio.create_task(service.propose(picture(2)))
        await until(lambda: service.service.admission.held == 2)
        service.service.lifecycle.drain()
        refused = await service.propose(picture(3))
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        fake.gate.set()
        assert [r.status_code for r in await asyncio.gather(accepted, late)] == [200, 200]


@pytest.mark.parametrize("query", [{}, {"box_format": "cxcywh", "normalized": True, "top_n": 7}])
async def test_binary_answers_hold_what_json_holds(query: dict[str, object]):
    data = picture(3)
    async with running() as service:
        told = (await service.propose(data, **query)).json()
        answers = {
            kind: await service.client.post("/propose", content=data, params=query, headers={"Accept": kind})
            for kind in ("application/octet-stream", "application/x-npz")
        }
    boxes, scores = boxes_of(told), [proposal["score"] for proposal in told["proposals"]]
    floats = np.frombuffer(answers["application/octet-stream"].content, dtype="<f4").reshape(-1, 5)
    arrays = np.load(io.BytesIO(answers["application/x-npz"].content))
    assert arrays["boxes"].dtype == arrays["scores"].dtype == np.float32
    for found_boxes, found_scores in ((floats[:, :4], floats[:, 4]), (arrays["boxes"], arrays["scores"])):
        np.testing.assert_allclose(found_boxes, boxes, atol=0.006)
        np.testing.assert_allclose(found_scores, scores, atol=1e-6)
    assert arrays["image_size"].tolist() == [80, 60]
    for kind, answer in answers.items():
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["X-Model"] == "general"
        assert answer.headers["X-Model-Digest"] == told["model"]["digest"]
        assert answer.headers["X-Image-Size"] == "80x60"
        assert answer.headers["X-Proposals"] == str(told["count"])
        assert answer.headers["X-Truncated"] == str(told["truncated"]).lower()
        assert "inference;dur=" in answer.headers["Server-Timing"]


async def test_no_proposals_are_no_floats():
    async with running(FakePredictor(found=0)) as service:
        answer = await service.client.post(
            "/propose", content=picture(), headers={"Accept": "application/octet-stream"}
        )
    assert (answer.status_code, answer.content, answer.headers["X-Proposals"]) == (200, b"", "0")


async def test_forms_that_cannot_be_are_refused():
    async with running() as service:
        html = await service.client.post("/propose", content=picture(), headers={"Accept": "text/html"})
        several = await service.client.post(
            "/propose", files=image_parts(picture(1), picture(2)), headers={"Accept": "application/x-npz"}
        )
        either = await service.client.post(
            "/propose",
            files=image_parts(picture(1), picture(2)),
            headers={"Accept": "application/x-npz, application/json;q=0.5"},
        )
        assert service.service.admission.held == 0
    assert (either.status_code, len(either.json()["results"])) == (200, 2)
    for refused in (html, several):
        assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
    assert "several pictures are answered as application/json alone" in several.json()["detail"]


async def test_a_model_has_its_own_nms_for_callers_who_name_none():
    fake = FakePredictor()
    fake.info = replace(fake.info, nms_iou=0.45, overlap_penalty="1 logit")
    async with running(fake) as service:
        await service.propose(picture())
        await service.propose(picture(), nms_iou=0.9)
        model, *_ = (await service.client.get("/models")).json()["models"]
        assert (model["nms_iou"], model["overlap_penalty"]) == (0.45, "1 logit")
    assert [selection.nms_iou for selection in fake.selections] == [0.45, 0.9]


async def test_a_parameter_that_is_given_twice_is_refused_by_name():
    async with running() as service:
        response = await service.client.post("/propose?top_n=1&model=a&top_n=1", content=picture())
        assert (response.status_code, response.json()["code"]) == (422, "invalid_parameter")
        assert response.json()["errors"] == [{"parameter": "top_n", "reason": "is given 2 times"}]


async def test_what_is_accepted_may_stand_in_several_lines():
    async with running() as service:
        lines = [("Accept", "text/html"), ("Accept", "application/octet-stream")]
        response = await service.client.post("/propose", content=picture(), headers=lines)
        assert response.headers["content-type"] == "application/octet-stream"


async def test_no_other_path_leads_to_it():
    async with running() as service:
        response = await service.client.post("/propose/", content=picture(), headers={"Host": "elsewhere.example"})
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_pictures_of_one_request_are_decoded_a_few_at_a_time():
    fake = FakePredictor()
    pictures = [picture(i) for i in range(4)]
    async with running(fake, max_requests=2, max_pictures=2) as service:
        batcher = service.service.batchers["general"]
        fake.gate.clear()
        answers = [
            asyncio.create_task(service.client.post("/propose", files=image_parts(*both)))
            for both in (pictures[:2], pictures[2:])
        ]
        await until(lambda: batcher._room.locked() and len(fake.batches) == 1)
        await asyncio.sleep(0.1)  # time enough to decode the others, if it did
        assert batcher.waiting <= 1
        assert batcher.pending - batcher.waiting == 2
        fake.gate.set()
        results = [one for answer in answers for one in (await answer).json()["results"]]
    assert [boxes_of(one) for one in results] == [expected_boxes(data) for data in pictures]
    assert max(one["timings_ms"]["queue"] for one in results) > 100  # waiting for a place is waiting


async def test_one_models_crowd_does_not_keep_anothers_picture_outside():
    fakes = {"a": FakePredictor(), "b": FakePredictor()}
    models = tuple(ModelSource(name, Path(name)) for name in fakes)
    async with running(lambda path, device: fakes[path.name], models=models, max_requests=4, max_pictures=4) as service:
        fakes["a"].gate.clear()
        crowd = [
            asyncio.create_task(service.client.post("/propose?model=a", files=image_parts(*map(picture, range(4)))))
            for _ in range(3)
        ]
        await until(lambda: service.service.batchers["a"].pending >= 8)
        mine = asyncio.create_task(service.propose(picture(9), model="b"))
        await until(lambda: service.service.batchers["b"].waiting == 1)  # decoded, and next in turn
        fakes["a"].gate.set()
        assert {answer.status_code for answer in await asyncio.gather(mine, *crowd)} == {200}
