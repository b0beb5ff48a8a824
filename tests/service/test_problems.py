import pytest

from model import errors as model_errors
from service import errors
from service.problems import as_service_error, problem


def test_every_error_has_a_code_of_its_own():
    codes = [kind.code for kind in errors.service_errors()]
    assert len(codes) == len(set(codes)) > 15


def test_every_error_has_a_status_and_a_title():
    for kind in errors.service_errors():
        assert 400 <= kind.status < 600
        assert kind.title


def test_every_error_is_in_the_drawing():
    assert errors.__doc__ is not None
    for kind in errors.service_errors():
        assert f" {kind.__name__} " in errors.__doc__
        assert f" {kind.status}  " in errors.__doc__


@pytest.mark.parametrize("kind", model_errors.PictureError.__subclasses__())
def test_every_fault_of_a_picture_is_the_callers(kind):
    told = as_service_error(kind("that is why"))
    assert 400 <= told.status < 500
    assert told.detail == "that is why"


def test_the_unexpected_tells_nothing_of_our_inside():
    told = as_service_error(KeyError("secret"))
    assert (told.status, told.code) == (500, "internal_error")
    assert "secret" not in told.detail


def test_document_has_the_members_of_the_standard_and_ours():
    document = problem(errors.Overloaded(3), "abc", index=None, filename="a.png")
    assert document == {
        "type": "urn:rpn:problem:overloaded",
        "title": "The service is overloaded",
        "status": 429,
        "detail": "no capacity is free; try again in 3 s",
        "instance": "urn:rpn:request:abc",
        "code": "overloaded",
        "request_id": "abc",
        "retry_after": 3,
        "filename": "a.png",
    }


def test_parameters_are_named():
    document = problem(errors.InvalidParameter([("top_n", "too large"), ("nms_iou", "too small")]), "abc")
    assert document["detail"] == "top_n: too large; nms_iou: too small"
    assert document["errors"] == [
        {"parameter": "top_n", "reason": "too large"},
        {"parameter": "nms_iou", "reason": "too small"},
    ]
