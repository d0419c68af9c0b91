"""Holds answers against `docs/openapi.json`."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from rehearsal.dev_server import ROOT

JSON = "application/json"
JSON_LINES = "application/x-ndjson"


def check_answer(response: httpx.Response) -> None:
    """Whether an answer, read, is one that the document describes, without a field more. Streams: `check_line`."""
    path = response.request.url.path
    operation = description()["paths"].get(described(path), {}).get(response.request.method.lower())
    if operation is None:
        return
    schema = operation["responses"][str(response.status_code)]["content"].get(JSON, {}).get("schema")
    if schema is not None:
        _check(schema, response.json())


def described(path: str) -> str:
    """How the document writes a path."""
    return re.sub(r"^/text-classification/\w+$", "/text-classification/{analysis}", path)


def check_line(event: Any) -> None:
    """Whether one event of a stream is one that the document describes."""
    responses = description()["paths"]["/process-batch-stream"]["post"]["responses"]
    _check(responses["200"]["content"][JSON_LINES]["schema"], event)


def check_body(path: str, body: Any) -> None:
    """Whether the document allows a POST's body."""
    _check(description()["paths"][described(path)]["post"]["requestBody"]["content"][JSON]["schema"], body)


@cache
def description() -> dict[str, Any]:
    """The committed document."""
    document: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    return document


@cache
def _closed_components() -> dict[str, Any]:
    """The schemas, with no field allowed that they do not name: the document leaves room for fields to come."""
    components = json.loads(json.dumps(description()["components"]))
    for schema in components["schemas"].values():
        schema.setdefault("additionalProperties", False)
    return dict(components)


def _check(schema: dict[str, Any], instance: Any) -> None:
    Draft202012Validator(schema | {"components": _closed_components()}).validate(instance)
