"""One engine in an actor of Ray's: a batch of rows in, the same rows with answers out."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from batch_classification.in_process import start_engine
from batch_http.requests import Text
from batch_inference.errors import ForwardPassError
from schemas import DEFAULT_MAX_LENGTH

_TEXT = TypeAdapter(Text)

Columns = dict[str, np.ndarray[Any, Any]]
"""A batch as Ray Data hands it over: arrays of equal length, by column."""


class Scorer:
    """Loads the model once and classifies batches with it; the environment says which, as for the service."""

    def __init__(self, text_column: str) -> None:
        self._text_column = text_column
        self._engine = start_engine()

    def __call__(self, rows: Columns) -> Columns:
        """The rows with columns `sentiment`, `confidence`, `token_count`, `truncated` and `error`.

        A text that the service would refuse, or that the model fails on, has its reason in `error` and nulls elsewhere.
        """
        values = rows[self._text_column].tolist()
        errors: list[str | None] = [_why_invalid(value) for value in values]
        predictions: list[Any] = [None] * len(values)
        valid = [index for index, error in enumerate(errors) if error is None]
        try:
            found = self._engine.run([values[index].strip() for index in valid], DEFAULT_MAX_LENGTH).predictions
            for index, prediction in zip(valid, found, strict=True):
                predictions[index] = prediction
        except ForwardPassError:
            for index in valid:
                errors[index], predictions[index] = self._alone(values[index].strip())
        return rows | {
            "sentiment": _column([p and p.label for p in predictions]),
            "confidence": _column([p and p.confidence for p in predictions]),
            "token_count": _column([p and p.num_tokens for p in predictions]),
            "truncated": _column([p and p.is_truncated for p in predictions]),
            "error": _column(errors),
        }

    def _alone(self, text: str) -> tuple[str | None, Any]:
        try:
            return None, self._engine.run([text], DEFAULT_MAX_LENGTH).predictions[0]
        except ForwardPassError as error:
            return str(error), None


def _why_invalid(value: object) -> str | None:
    try:
        _TEXT.validate_python(value)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        return f"the text {problem['msg']}" if "ctx" in problem or problem["type"] != "string_type" else "not a string"
    return None


def _column(values: list[Any]) -> np.ndarray[Any, Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
