"""`/openapi.json` says what is: it is the committed document, its examples keep its own rules, and answers fit it."""

from __future__ import annotations

import re

import httpx
import pytest
from jsonschema import Draft202012Validator

from batch_classification.endpoints import ENDPOINTS, document
from image import VERSION
from tests.http.contract import check_body, check_line, description


def test_the_committed_document_is_the_one_that_is_served(client: httpx.Client) -> None:
    # If not: `make openapi`.
    assert description() == document(VERSION)
    assert client.get("/openapi.json").json() == description()


def test_its_schemas_are_schemas() -> None:
    for schema in description()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_cord_is_described(client: httpx.Client) -> None:
    import batch_processor

    served = {
        (cord._public_api_method.lower(), cord._public_api_path, cord._func.__name__)
        for cord in batch_processor.chute.cords
    }
    of_sentiment = "sentiment"
    assert served == {
        (each.method, each.path.format(analysis=of_sentiment), re.sub("_analysis$", f"_{of_sentiment}", each.name))
        for each in ENDPOINTS
    }


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in ENDPOINTS if endpoint.examples], ids=lambda e: e.name)
def test_every_example_is_answered(client: httpx.Client, endpoint: object) -> None:
    for body in endpoint.examples.values():  # type: ignore[attr-defined]
        check_body(endpoint.path, body)  # type: ignore[attr-defined]
        path = endpoint.path.format(analysis="sentiment")  # type: ignore[attr-defined]
        assert client.post(path, json=body).status_code == 200


def test_example_answers_fit_their_schemas() -> None:
    for methods in description()["paths"].values():
        for operation in methods.values():
            for response in operation["responses"].values():
                for media_type, content in response["content"].items():
                    if media_type == "application/json" and "example" in content:
                        schema = content["schema"] | {"components": description()["components"]}
                        Draft202012Validator(schema).validate(content["example"])


def test_each_line_of_a_stream_is_described(client: httpx.Client) -> None:
    request = {"texts": ["fine", " ", "字" * 9_000], "batch_size": 1, "on_invalid_text": "report"}
    response = client.post("/process-batch-stream", json=request | {"return_all_scores": True})
    for line in response.iter_lines():
        check_line(httpx.Response(200, text=line).json())
