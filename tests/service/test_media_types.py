import pytest

from service.errors import NotAcceptable
from service.media_types import MediaType, choose_media_type, takes_json


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", MediaType.JSON),
        (" , ,", MediaType.JSON),
        ("*/*", MediaType.JSON),
        ("application/*", MediaType.JSON),
        ("application/json", MediaType.JSON),
        ("application/octet-stream", MediaType.FLOATS),
        ("APPLICATION/X-NPZ", MediaType.NPZ),
        ("application/json;q=0.5, application/x-npz", MediaType.NPZ),
        ("application/json;q=0.1, */*;q=0.9", MediaType.FLOATS),
        ("application/json;q=0, */*", MediaType.FLOATS),
        ("text/html, application/xhtml+xml, */*;q=0.8", MediaType.JSON),  # a browser
        ("application/octet-stream;q=x, application/json", MediaType.JSON),
        ("application/octet-stream;q=nan, application/json;q=0.1", MediaType.JSON),
        ("application/octet-stream;q=2, application/json;q=0.1", MediaType.JSON),
    ],
)
def test_the_best_liked_form_is_chosen(accept: str, expected: MediaType):
    assert choose_media_type(accept) is expected


@pytest.mark.parametrize("accept", ["text/html", "image/*", "application/json;q=0", "nonsense", "*/*;q=0"])
def test_what_takes_none_is_refused_by_name(accept: str):
    with pytest.raises(NotAcceptable) as refused:
        choose_media_type(accept)
    assert repr(accept) in refused.value.detail


def test_a_list_that_nobody_sends_is_refused_before_it_is_taken_apart():
    with pytest.raises(NotAcceptable) as refused:
        choose_media_type("application/json," * 60)
    assert "more than 1,000 characters" in refused.value.detail
    assert choose_media_type("application/json," * 58) is MediaType.JSON


@pytest.mark.parametrize(
    ("accept", "taken"),
    [
        ("", True),
        ("application/x-npz, */*;q=0.1", True),
        ("application/x-npz", False),
        ("*/*, application/json;q=0", False),
    ],
)
def test_json_may_be_taken_though_another_is_liked_better(accept: str, taken: bool):
    assert takes_json(accept) is taken
