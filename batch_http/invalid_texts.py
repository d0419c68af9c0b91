"""`on_invalid_text`: a text that breaks a rule fails its request, or gets an error in place of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StrictStr, TypeAdapter, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from batch_http.requests import (
    MAX_TEXTS,
    TEXT_DESCRIPTION,
    TEXT_RULE,
    Text,
    Texts,
    allow_null,
    clean_text,
    problem_of,
)


@dataclass(frozen=True)
class InvalidText:
    """Stands where a text would, had it kept the rules. `problem` is a sentence without its subject, the field."""

    kind: str
    problem: str


_TEXT: TypeAdapter[str] = TypeAdapter(Text)
_TEXTS: TypeAdapter[list[str]] = TypeAdapter(Texts)


def text_or_problem(value: object, info: ValidationInfo) -> str | InvalidText:
    """Check a text; if problems of texts are to be reported, one stands for the text."""
    try:
        return _TEXT.validate_python(value)
    except ValidationError as error:
        if not _is_reporting(info):
            raise
        return _invalid_text(error.errors(include_url=False)[0])


def texts_or_problems(values: list[str], info: ValidationInfo) -> list[str] | list[str | InvalidText]:
    """The same for a list of texts. What is wrong with the list itself is never reported as a text's."""
    try:
        return _TEXTS.validate_python(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
        if not _is_reporting(info) or not all(detail["loc"] for detail in details):
            raise
        problems = {detail["loc"][0]: _invalid_text(detail) for detail in details}
        return [problems.get(index) or clean_text(value) for index, value in enumerate(values)]


def _is_reporting(info: ValidationInfo) -> bool:
    # Validated before the texts, so the models have it before them; absent if it breaks its own rule.
    return info.data.get("on_invalid_text") == "report"


def _invalid_text(detail: ErrorDetails) -> InvalidText:
    return InvalidText(detail["type"], problem_of(detail))


OnInvalidText = Annotated[
    Literal["reject", "report"],
    Field(
        description="What becomes of a text that breaks a rule: the request is refused (reject), or the text gets an "
        "error in place of its result, and the others are answered (report)"
    ),
]

ReportedText = Annotated[StrictStr, Field(description=TEXT_DESCRIPTION)]
ReportedTexts = Annotated[list[ReportedText], Field(min_length=1, max_length=MAX_TEXTS)]
"""Schemas of texts that may break their rule without being refused."""


def say_when_texts_are_refused(schema: dict[str, Any]) -> None:
    """Say in a body's schema that a text which breaks its rule is refused, unless such texts are reported."""
    allow_null(schema)
    refused = {"texts": {"items": TEXT_RULE}} if "texts" in schema["properties"] else {"text": TEXT_RULE}
    schema["if"] = {"properties": {"on_invalid_text": {"const": "report"}}, "required": ["on_invalid_text"]}
    schema["else"] = {"properties": refused}
