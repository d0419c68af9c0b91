"""Null stands for an optional field that was left out, in every chute: some clients write it for each option."""

from __future__ import annotations

import pytest

from batch_classification.hugging_face_wire import TextClassificationRequest
from batch_embedding.wire import EmbeddingRequest
from batch_generation.wire import GenerateRequest
from batch_http.requests import InvalidRequest, RequestBody, parse_request
from schemas import BatchRequest, SingleRequest

BODIES: dict[type[RequestBody], dict[str, object]] = {
    BatchRequest: {"texts": ["a"]},
    SingleRequest: {"text": "a"},
    TextClassificationRequest: {"inputs": "a"},
    EmbeddingRequest: {"input": "a"},
    GenerateRequest: {"prompts": ["a"]},
}


@pytest.mark.parametrize("model", BODIES)
def test_null_is_left_out(model: type[RequestBody]) -> None:
    body = BODIES[model]
    optional = [name for name, field in model.model_fields.items() if not field.is_required()]
    assert optional
    for name in optional:
        assert parse_request(model, body | {name: None}) == parse_request(model, body)
    assert parse_request(model, body | dict.fromkeys(optional)) == parse_request(model, body)


@pytest.mark.parametrize("model", BODIES)
def test_null_is_no_value_of_what_is_required(model: type[RequestBody]) -> None:
    [(name, _)] = BODIES[model].items()
    with pytest.raises(InvalidRequest, match=f"{name}.* is null"):
        parse_request(model, {name: None})
