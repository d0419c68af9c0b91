"""`GET /v1/models`, by which OpenAI's clients ask what is served: the one model of an instance."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from batch_http.deployment import NamedModelSettings
from batch_http.dev_pages import is_dev_mode
from batch_http.responses import json_response

STARTED_AT = int(time.time())


class ModelCard(BaseModel):
    """What there is to know of a model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    max_tokens: int = Field(description="Of its longest text; of a generator, of a prompt and its answer")
    dimensions: list[int] | None = Field(
        default=None,
        exclude_if=lambda dimensions: dimensions is None,
        description="Lengths that its vectors may have, of a model of embeddings",
    )


class ModelList(BaseModel):
    """Answer of `GET /v1/models`."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


def model_card(settings: NamedModelSettings, max_tokens: int, dimensions: list[int] | None = None) -> ModelCard:
    """The card of the model that these settings name."""
    return ModelCard(
        id=settings.served_name,
        created=STARTED_AT,
        owned_by=settings.username,
        max_tokens=max_tokens,
        dimensions=dimensions,
    )


def add_model_path(app: FastAPI, settings: NamedModelSettings, card: Callable[[], ModelCard]) -> None:
    """Add `GET /v1/models/ID` to an app, in dev mode: paths on the platform have no variable parts."""
    if not is_dev_mode():
        return

    @app.get("/v1/models/{name:path}", include_in_schema=False)
    async def get_model(name: str) -> Response:
        if name in settings.served_names:
            return json_response(card())
        message = f"{name[:80]} is not served here; use {settings.served_name}"
        error = {"message": message, "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
        return JSONResponse({"detail": message, "error": error}, 404)
