"""The OpenAPI document of a chute, from its table of endpoints: the SDK's routes say nothing of bodies and answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from batch_http.engine_stats import BatchStats
from batch_http.errors import ErrorReport, ErrorShape
from batch_http.requests import Refusal, Unavailable

OPENAPI_VERSION = "3.1.0"
_REFERENCE = "#/components/schemas/{model}"

JSON = "application/json"
JSON_LINES: Final = "application/x-ndjson"

_FULL: Final = "the queue is full: this request has 900 tokens, 524000 of 524288 are taken; try again in 2 s"
_FAILED: Final = "the model failed on this request; the log says why"


@dataclass(frozen=True)
class Answer:
    """What an endpoint answers with one status.

    Attributes:
        description: when it does.
        models: the answer is one of these. Of a stream: each line is.
        example: one such answer; of a stream, some lines. None shows none.
        media_type: of the answer.
        is_list_of_lists: the answer is a list of lists of the model instead.
        headers: that come along, each with its description.
    """

    description: str
    models: Sequence[type[BaseModel]]
    example: Any = None
    media_type: str = JSON
    is_list_of_lists: bool = False
    headers: dict[str, str] | None = None


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: `name` is the function of its cord.

    Attributes:
        examples: bodies that show what can be asked, by name.
        answers: by status.
        path_parameters: what stands in braces in the path, each with its description.
    """

    method: Literal["get", "post"]
    path: str
    name: str
    summary: str
    description: str
    answers: dict[int, Answer]
    request: type[BaseModel] | None = None
    examples: dict[str, Any] | None = None
    path_parameters: dict[str, str] | None = None


def error_answers(
    problem: dict[str, Any],
    refusal: type[BaseModel] = Refusal,
    unavailable: type[BaseModel] = Unavailable,
    shape: ErrorShape | None = None,
) -> dict[int, Answer]:
    """What every endpoint that computes answers when it does not.

    Args:
        problem: one of a 400, for the example.
        refusal: the answer with status 400.
        unavailable: the answer with status 429 or 500.
        shape: of `error`, where that is beside `detail`.
    """

    def answer(description: str, model: type[BaseModel], report: ErrorReport) -> Answer:
        example = {"detail": report.detail} | ({"error": shape(report)} if shape else {})
        headers = {"Retry-After": "Seconds after which a slot is likely to be free"} if report.status == 429 else None
        return Answer(description, [model], example, headers=headers)

    return {
        400: answer(
            f"The request breaks a rule; every problem is named{', and all of them in `error`' if shape else ''}",
            refusal,
            ErrorReport("invalid_request", 400, [problem]),
        ),
        429: answer(
            "The queue is full, or the instance is shutting down", unavailable, ErrorReport("queue_full", 429, _FULL)
        ),
        500: answer(
            "The model failed, or the instance lost its GPU", unavailable, ErrorReport("inference_failed", 500, _FAILED)
        ),
    }


def stats_endpoint(stats: type[BaseModel] = BatchStats) -> Endpoint:
    """`GET /batch-stats`, which every chute has."""
    return Endpoint(
        "get",
        "/batch-stats",
        "get_batch_stats",
        "What the instance has done and is doing",
        "Counted since it started, unless said otherwise.",
        answers={200: Answer("The figures", [stats])},
    )


def openapi_document(title: str, version: str, description: str, endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document, ready to be written as JSON; `title` is the chute's name."""
    used: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
    for endpoint in endpoints:
        if endpoint.request:
            used[endpoint.request, "validation"] = None
        for answer in endpoint.answers.values():
            used.update(dict.fromkeys((model, "serialization") for model in answer.models))
    _, definitions = models_json_schema(list(used), ref_template=_REFERENCE)
    schemas: dict[str, Any] = definitions["$defs"]
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method] = _operation(endpoint)
    named = json.dumps([schemas, paths])
    return {
        "openapi": OPENAPI_VERSION,
        "info": {"title": title, "version": version, "description": description},
        "servers": _servers(title),
        "security": [{}, {"api_key": []}],
        "paths": paths,
        "components": {
            "schemas": {name: schemas[name] for name in schemas if f'"{_REFERENCE.format(model=name)}"' in named},
            "securitySchemes": {"api_key": {"type": "http", "scheme": "bearer", "description": "Of chutes.ai"}},
        },
    }


def _servers(chute_name: str) -> list[dict[str, Any]]:
    return [
        {"url": "/", "description": "Where this document came from"},
        {
            "url": "https://{slug}.chutes.ai",
            "description": "A deployed chute; wants an API key",
            "variables": {"slug": {"default": f"myuser-{chute_name}", "description": "USERNAME-CHUTE_NAME"}},
        },
    ]


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": endpoint.description,
    }
    if endpoint.path_parameters:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}
            for name, description in endpoint.path_parameters.items()
        ]
    if endpoint.request:
        examples = {name: {"value": value} for name, value in (endpoint.examples or {}).items()}
        content = {"schema": _reference(endpoint.request), "examples": examples}
        operation["requestBody"] = {"required": True, "content": {JSON: content}}
    operation["responses"] = {str(status): _response(answer) for status, answer in endpoint.answers.items()}
    return operation


def _response(answer: Answer) -> dict[str, Any]:
    schema = _any_of(answer.models)
    if answer.is_list_of_lists:
        schema = {"type": "array", "items": {"type": "array", "items": schema}}
    content = {"schema": schema} | ({} if answer.example is None else {"example": answer.example})
    response: dict[str, Any] = {"description": answer.description, "content": {answer.media_type: content}}
    if answer.headers:
        response["headers"] = {
            name: {"description": description, "schema": {"type": "integer"}}
            for name, description in answer.headers.items()
        }
    return response


def _any_of(models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    # Any: an answer that names its analyses fits the schema of one that does not, too.
    return _reference(models[0]) if len(models) == 1 else {"anyOf": [_reference(model) for model in models]}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}
