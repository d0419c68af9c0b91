"""Answers as bytes: in production the SDK cannot serialise what a cord returns."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

Json = dict[str, Any]
"""An answer as the dictionary that becomes its JSON: a hundred pydantic models would cost ten times as much as a
hundred dictionaries. Tests hold every answer against its model."""


def json_response(answer: BaseModel | Json | list[Any]) -> Response:
    """A response with the bytes already serialised."""
    content = answer.model_dump_json() if isinstance(answer, BaseModel) else orjson.dumps(answer)
    return Response(content, media_type="application/json")
