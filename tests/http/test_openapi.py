"""`/openapi.json` says what is: it is the committed document, its examples keep its own rules, and answers fit it."""

from __future__ import annotations

import importlib
import json
import re

import httpx
import pytest
from jsonschema import Draft202012Validator, ValidationError

import batch_embedding.endpoints
import batch_generation.endpoints
from batch_classification.endpoints import ENDPOINTS
from batch_http.openapi import Endpoint
from batch_http.requests import TEXT_RULE
from image import VERSION
from rehearsal.dev_server import ROOT
from tests.http.contract import check_body, check_line
from tools.write_openapi import DOCUMENTS

CHUTES = {
    "batch_processor": ("openapi.json", ENDPOINTS),
    "batch_embedder": ("openapi-embedder.json", batch_embedding.endpoints.ENDPOINTS),
    "batch_generator": ("openapi-generator.json", batch_generation.endpoints.ENDPOINTS),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_committed_documents_are_those_of_the_code(name: str) -> None:
    # If not: `make openapi`.
    assert json.loads((ROOT / "docs" / name).read_text(encoding="utf-8")) == DOCUMENTS[name](VERSION)


def test_the_committed_document_is_the_one_that_is_served(client: httpx.Client) -> None:
    # Besides, it names the analyses of this instance.
    assert client.get("/openapi.json").json() == DOCUMENTS["openapi.json"](VERSION, ["sentiment"])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_their_schemas_are_schemas(name: str) -> None:
    for schema in DOCUMENTS[name](VERSION)["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("chute", CHUTES)
def test_every_cord_is_described(chute: str) -> None:
    cords = importlib.import_module(chute).chute.cords
    served = {(cord._public_api_method.lower(), cord._public_api_path, cord._func.__name__) for cord in cords}
    _, endpoints = CHUTES[chute]
    of_sentiment = "sentiment"
    assert served == {
        (each.method, each.path.format(analysis=of_sentiment), re.sub("_analysis$", f"_{of_sentiment}", each.name))
        for each in endpoints
    }


@pytest.mark.parametrize("text", ["", " ", "\n\t\u3000\x85\x1c", "a\0", "x" * 10_001])
def test_the_rule_of_a_text_in_the_schema(text: str) -> None:
    rule = Draft202012Validator(TEXT_RULE)
    assert rule.is_valid("x" * 10_000)
    # No white space to `str.strip`, though it is to other languages.
    assert rule.is_valid(" a\n")
    assert rule.is_valid("\ufeff")
    assert not rule.is_valid(text)
    with pytest.raises(ValidationError):
        check_body("/process-batch", {"texts": [text]})
    check_body("/process-batch", {"texts": [text], "on_invalid_text": "report"})


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in ENDPOINTS if endpoint.examples], ids=lambda e: e.name)
def test_every_example_is_answered(client: httpx.Client, endpoint: Endpoint) -> None:
    for body in (endpoint.examples or {}).values():
        check_body(endpoint.path, body)
        assert client.post(endpoint.path.format(analysis="sentiment"), json=body).status_code == 200


@pytest.mark.parametrize("name", DOCUMENTS)
def test_example_answers_fit_their_schemas(name: str) -> None:
    document = DOCUMENTS[name](VERSION)
    for methods in document["paths"].values():
        for operation in methods.values():
            for response in operation["responses"].values():
                for media_type, content in response["content"].items():
                    if media_type == "application/json" and "example" in content:
                        schema = content["schema"] | {"components": document["components"]}
                        Draft202012Validator(schema).validate(content["example"])


def test_each_line_of_a_stream_is_described(client: httpx.Client) -> None:
    request = {"texts": ["fine", " ", "字" * 9_000], "batch_size": 1, "on_invalid_text": "report"}
    response = client.post("/process-batch-stream", json=request | {"return_all_scores": True})
    for line in response.iter_lines():
        check_line(httpx.Response(200, text=line).json())
