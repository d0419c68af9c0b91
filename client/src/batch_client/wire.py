"""The JSON of a batch-processor service: what is asked, and what counts as an answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from batch_client.errors import FaultError, Problem
from batch_client.outcomes import Failure, Outcome, Prediction

if TYPE_CHECKING:
    from batch_client.options import Options

REPORTS_FIELD = "on_invalid_text"
"""Asks for bad texts to be told in their place; a service that does not know it refuses it by this name."""

Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Error(BaseModel):
    code: str
    message: str


class _Result(BaseModel):
    model_config = ConfigDict(strict=True)

    processing_order: int
    error: _Error | None = None
    text: str | None = None
    sentiment: str = ""
    confidence: Probability | None = None
    token_count: Annotated[int, Field(ge=0)] | None = None
    truncated: bool | None = None
    scores: dict[str, Probability] | None = None
    tokens_dropped: int | None = None
    windows: int | None = None


class _BatchAnswer(BaseModel):
    results: list[_Result]


class _Refusal(BaseModel):
    detail: list[Problem] | str


class ServiceStats(BaseModel):
    """The service's own counters since it started. Times in seconds, memory in GiB (None without a GPU).

    Fields that a newer service adds are kept and reachable by name.
    """

    model_config = ConfigDict(extra="allow")

    total_requests: int
    total_texts_processed: int
    average_batch_time: float
    peak_batch_size: int
    device: str
    model_loaded: bool
    current_gpu_memory: float | None
    max_gpu_memory: float | None
    model: str | None = None


def batch_request(texts: Sequence[str], options: Options) -> bytes:
    """Body of `POST /process-batch`."""
    reporting = {REPORTS_FIELD: "report"} if options.reports else {}
    return _encoded({"texts": list(texts), **_parameters(options), **reporting})


def single_request(text: str, options: Options) -> bytes:
    """Body of `POST /analyze-single`."""
    return _encoded({"text": text, **_parameters(options)})


def parse_batch_answer(body: bytes, texts: Sequence[str], all_scores: bool) -> list[Outcome]:
    """One outcome per text, in order.

    Raises:
        FaultError: the body is not an answer to these texts: cut short, malformed, miscounted or mixed up.
    """
    try:
        results = _BatchAnswer.model_validate_json(body).results
    except ValidationError as error:
        raise FaultError(f"the service's answer is malformed: {_summary(error)}") from error
    if len(results) != len(texts):
        raise FaultError(f"the service answered {len(results)} results for {len(texts)} texts")
    return [_outcome(results[order], text, order, all_scores) for order, text in enumerate(texts)]


def parse_single_answer(body: bytes, text: str, all_scores: bool) -> Prediction:
    """The prediction for one text. Raises FaultError like `parse_batch_answer`."""
    try:
        result = _Result.model_validate_json(body)
    except ValidationError as error:
        raise FaultError(f"the service's answer is malformed: {_summary(error)}") from error
    outcome = _outcome(result, text, 0, all_scores)
    if isinstance(outcome, Failure):
        raise FaultError(f"the service answered an error: {outcome.reason}")
    return outcome


def parse_stats(body: bytes) -> ServiceStats:
    """The counters. Raises FaultError if the body holds something else."""
    try:
        return ServiceStats.model_validate_json(body)
    except ValidationError as error:
        raise FaultError(f"the service's statistics are malformed: {_summary(error)}") from error


def parse_refusal(body: bytes) -> list[Problem]:
    """What the service says is wrong with a request; a body in another shape becomes one problem without a place."""
    try:
        detail = _Refusal.model_validate_json(body).detail
    except ValidationError:
        return [Problem((), reason_in(body) or body[:200].decode(errors="replace").strip() or "it gave no reason")]
    if not isinstance(detail, str):
        return detail or [Problem((), "it gave no reason")]
    # The platform's API server passes a chute's refusal on as text, behind words of its own.
    _, own, refusal = detail.partition('{"detail"')
    return parse_refusal((own + refusal).encode()) if own else [Problem((), detail)]


def reason_in(body: bytes) -> str | None:
    """The sentence of an error's body, if it has one where this service, FastAPI, or the other protocols' servers put
    it: under `detail`, `error`, `message` or `error.message`."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    for name in ("detail", "error", "message"):
        value = document.get(name) if isinstance(document, dict) else None
        value = value.get("message") if isinstance(value, dict) else value
        if isinstance(value, str):
            return value
    return None


def _encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


def _outcome(result: _Result, text: str, order: int, all_scores: bool) -> Outcome:
    if result.processing_order != order:
        raise FaultError(f"the service answered result {result.processing_order} in place {order}")
    if result.error is not None:
        # Its place in the request means nothing to people.
        return Failure(result.error.code, result.error.message.replace(f"texts[{order}]", "the text"))
    if result.text is not None and result.text != text:
        raise FaultError(f"the service answered another text than the one in place {order}")
    is_whole = result.confidence is not None and result.token_count is not None and result.truncated is not None
    if not (result.sentiment and is_whole):
        raise FaultError(f"the service's answer is malformed: results.{order} lacks a field")
    if all_scores and not result.scores:
        raise FaultError(f"the service left out the scores in place {order}")
    return Prediction(
        result.sentiment, result.confidence or 0.0, result.token_count, result.truncated, result.scores,
        result.tokens_dropped, result.windows,
    )  # fmt: skip


def _parameters(options: Options) -> dict[str, object]:
    # What is as it always was is left out: a service that does not know the field refuses it.
    further: dict[str, object] = {"on_long_text": options.on_long_text} if options.on_long_text != "truncate" else {}
    return {"max_length": options.max_length, "return_all_scores": options.all_scores, **further}


def _summary(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
