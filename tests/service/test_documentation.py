from typing import Any

import pytest

from service.app import create_app
from service.errors import service_errors
from service.schemas import Problem
from tests.service.fakes import build_service, running

PICTURE_KINDS = {f"image/{kind}" for kind in ("jpeg", "png", "webp", "gif", "bmp", "tiff")}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return create_app(build_service()).openapi()


def test_every_error_is_documented(schema):
    responses = schema["paths"]["/propose"]["post"]["responses"]
    for kind in service_errors():
        content = responses[str(kind.status)]["content"]["application/problem+json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        example = Problem.model_validate(content["examples"][kind.code]["value"])
        assert (example.status, example.code) == (kind.status, kind.code)


def test_nothing_but_problems_is_documented_for_errors(schema):
    for path in schema["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if status != "200":
                    assert set(response["content"]) == {"application/problem+json"}


def test_both_bodies_are_documented(schema):
    content = schema["paths"]["/propose"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", *PICTURE_KINDS}
    field = content["multipart/form-data"]["schema"]["properties"]["image"]
    assert field["items"] == {"type": "string", "format": "binary"}


def test_parameters_are_documented(schema):
    parameters = {one["name"]: one for one in schema["paths"]["/propose"]["post"]["parameters"]}
    assert set(parameters) == {"top_n", "score_threshold", "nms_iou", "box_format", "normalized", "model"}
    assert all(one["in"] == "query" and one["description"] for one in parameters.values())
    assert parameters["top_n"]["schema"]["default"] == 300


def test_every_reference_leads_somewhere(schema):
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for value in node.values() for found in references(value)]
        return [found for value in node for found in references(value)] if isinstance(node, list) else []

    for reference in references(schema):
        assert reference.rsplit("/", 1)[1] in schema["components"]["schemas"], reference


@pytest.mark.anyio
async def test_docs_page_is_served():
    async with running() as service:
        page = await service.client.get("/docs")
        assert (await service.client.get("/openapi.json")).status_code == 200
    assert page.status_code == 200
    assert "swagger" in page.text


def test_headers_that_answers_bring_are_documented(schema):
    for path in schema["paths"].values():
        for operation in path.values():
            assert all("X-Request-ID" in response["headers"] for response in operation["responses"].values())
    responses = schema["paths"]["/propose"]["post"]["responses"]
    assert "Retry-After" in responses["429"]["headers"]
    assert "Connection" in responses["408"]["headers"]
    assert "Allow" in responses["405"]["headers"]


def test_the_largest_top_n_is_the_servers_own():
    schema = create_app(build_service(max_top_n=500)).openapi()
    (top_n,) = (one for one in schema["paths"]["/propose"]["post"]["parameters"] if one["name"] == "top_n")
    assert top_n["schema"]["maximum"] == 500


def test_models_are_asked_for_by_the_names_that_are_configured():
    schema = create_app(build_service(models="general,peer=general")).openapi()
    (model,) = (one for one in schema["paths"]["/propose"]["post"]["parameters"] if one["name"] == "model")
    assert model["schema"] == {"type": "string", "enum": ["general", "peer"]}
    assert not model["required"]


def test_a_box_is_a_list_of_numbers(schema):
    """A tuple's `prefixItems` are untyped in clients that are generated."""
    box = schema["components"]["schemas"]["Proposal"]["properties"]["box"]
    assert {name: box[name] for name in ("type", "items", "minItems", "maxItems")} == {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 4,
        "maxItems": 4,
    }
