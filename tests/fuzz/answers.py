"""What every answer must satisfy, whatever was asked: its schema, and sums that add up."""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic import TypeAdapter

from batch_classification.hugging_face_wire import (
    LabelScore,
)
from batch_http.engine_stats import BatchStats
from schemas import (
    AnalysedSingle,
    BatchResult,
    FailedSingle,
    SingleResult,
)

STATUSES = {200, 400, 404, 405, 429}
"""All there is. Anything else would count against the instance on the platform, or be a fault."""

NOT_HTTP = {431, 501}
"""The server's own answers to a head that is too long, and to a coding that it does not know."""

LABELS = {"NEGATIVE", "NEUTRAL", "POSITIVE"}
OWN_LABELS = {label.lower() for label in LABELS}
"""As the bundled model names them, and Hugging Face's clients get them."""
MODEL_TOKENS = 512
MAX_TEXT_CHARACTERS = 10_000
TEXT_PROBLEMS = {"string_type", "string_unicode", "blank_text", "text_too_long", "nul_character", "lone_surrogate"}
_LABEL_SCORES = TypeAdapter(list[list[LabelScore]])


def check_answer(path: str, request: object, status: int, content: bytes) -> None:
    """Check what one request got.

    Args:
        path: the endpoint's public path.
        request: the body as it was sent, decoded; None if it was not JSON.

    Raises:
        AssertionError: the answer is none that may be given.
    """
    assert status in STATUSES, (status, content[:300])
    if status != 200:
        _check_refusal(status, json.loads(content))
    elif path == "/batch-stats":
        _check_stats(content)
    elif path in _CHECKS:
        assert isinstance(request, dict)
        # Null stands for a field that was left out.
        _CHECKS[path]({name: value for name, value in request.items() if value is not None}, content)


def num_answered(path: str, content: bytes) -> int:
    """How many texts an answer with status 200 has a prediction for."""
    if path not in _CHECKS:
        return 0
    if path == "/process-batch-stream":
        results = json.loads(content.splitlines()[-1])["final_results"]
    elif path == "/process-batch":
        results = json.loads(content)["results"]
    else:
        answer = json.loads(content)
        results = answer if isinstance(answer, list) else [answer]
    return sum("error" not in result for result in results)


def _check_refusal(status: int, body: dict[str, Any]) -> None:
    detail = body["detail"]
    assert detail
    if status == 400:
        for problem in detail:
            assert problem["msg"]
            assert problem["type"]
            assert isinstance(problem["loc"], list)


def _check_batch(request: dict[str, Any], content: bytes) -> None:
    answer = BatchResult.model_validate_json(content, strict=True)
    results = json.loads(content)["results"]
    _check_results(request, request["texts"], results)
    assert answer.total_texts == len(request["texts"])
    assert math.isclose(answer.average_time_per_text * answer.total_texts, answer.processing_time)
    metrics, info = answer.performance_metrics, answer.batch_info
    answered = [result for result in results if "error" not in result]
    assert math.isclose(metrics.texts_per_second * answer.processing_time, len(answered), abs_tol=1e-9)
    num_tokens = sum(result["token_count"] for result in answered)
    if request.get("on_long_text") == "window":
        # What windows have in common is counted in each.
        assert metrics.total_tokens_processed >= num_tokens
    else:
        assert metrics.total_tokens_processed == num_tokens
    assert 0 <= metrics.padding_ratio < 1
    assert 0 <= metrics.queue_time <= answer.processing_time
    assert 0 <= info.actual_batches_used <= sum(result.get("windows", 1) for result in answered)
    assert info.requested_batch_size == request.get("batch_size", 16)
    assert info.max_length == min(MODEL_TOKENS, request.get("max_length", 512))


def _check_single(request: dict[str, Any], content: bytes) -> None:
    result = json.loads(content)
    model = FailedSingle if "error" in result else AnalysedSingle if "analyses" in result else SingleResult
    answer = model.model_validate_json(content, strict=True)
    assert answer.processing_time > 0
    _check_results(request, [request["text"]], [result])


def _check_label_scores(request: dict[str, Any], content: bytes) -> None:
    answers = _LABEL_SCORES.validate_json(content, strict=True)
    inputs = request["inputs"]
    parameters = request.get("parameters") or {}
    num_labels = min(len(LABELS), parameters.get("top_k") or len(LABELS))
    assert len(answers) == (1 if isinstance(inputs, str) else len(inputs))
    for answer in answers:
        assert len(answer) == len({entry.label for entry in answer} & OWN_LABELS) == num_labels
        scores = [entry.score for entry in answer]
        assert scores == sorted(scores, reverse=True)
        if num_labels == len(LABELS) and parameters.get("function_to_apply") in (None, "softmax"):
            assert math.isclose(sum(scores), 1, abs_tol=1e-5)


def _check_stream(request: dict[str, Any], content: bytes) -> None:
    assert content.endswith(b"\n")
    lines = content.split(b"\n")[:-1]
    assert max(map(len, lines)) < 64 * 1024
    events = [json.loads(line) for line in lines]
    num_texts, size = len(request["texts"]), request.get("batch_size", 16)
    num_chunks = -(-num_texts // size)
    assert events[0] == {
        "status": "started", "total_texts": num_texts, "batch_size": size, "estimated_batches": num_chunks,
    }  # fmt: skip
    assert [event["status"] for event in events[1:-1]] == ["processing_batch", "batch_complete"] * num_chunks
    assert sum(event["batch_size"] for event in events[1:-1:2]) == num_texts
    assert events[-1]["status"] == "completed"
    partial = [result for event in events[2:-1:2] for result in event["partial_results"]]
    _check_results(request, request["texts"], events[-1]["final_results"])
    _check_results(request, request["texts"], partial)
    assert math.isclose(events[-1]["average_time_per_text"] * num_texts, events[-1]["total_time"])


def _check_stats(content: bytes) -> None:
    stats = BatchStats.model_validate_json(content)
    assert stats.queued_texts >= 0
    assert stats.requests_in_flight >= 0


def _check_results(request: dict[str, Any], texts: list[Any], results: list[dict[str, Any]]) -> None:
    assert [result["processing_order"] for result in results] == list(range(len(texts)))
    for text, result in zip(texts, results, strict=True):
        if "error" in result:
            _check_failed_text(request, text, result["error"])
        else:
            _check_result(request, text, result)


def _check_failed_text(request: dict[str, Any], text: Any, error: dict[str, str]) -> None:
    assert request["on_invalid_text"] == "report"
    assert error["message"]
    if error["code"] == "too_many_tokens":
        assert request["on_long_text"] == "reject"
        assert _is_text(text)
    else:
        assert error["code"] in TEXT_PROBLEMS
        assert not _is_text(text)


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    stripped = value.strip()
    half_pairs = any("\ud800" <= character <= "\udfff" for character in stripped)
    return 0 < len(stripped) <= MAX_TEXT_CHARACTERS and "\0" not in stripped and not half_pairs


def _check_result(request: dict[str, Any], text: str, result: dict[str, Any]) -> None:
    limit = min(MODEL_TOKENS, request.get("max_length", 512))
    assert _is_text(text)
    # A stream leaves the texts out of a line that would be too long.
    assert result["text"] in (text.strip(), None)
    assert result["sentiment"] in LABELS
    assert 1 / 3 - 1e-6 <= result["confidence"] <= 1 + 1e-6
    assert result["token_count"] >= 2
    assert result["truncated"] == (result["tokens_dropped"] > 0)
    if request.get("on_long_text") == "window":
        assert not result["truncated"]
        assert (result["windows"] > 1) == (result["token_count"] > limit)
    else:
        assert "windows" not in result
        assert result["token_count"] <= limit
        assert not result["truncated"] or result["token_count"] == limit
    if request.get("on_long_text") == "reject":
        assert not result["truncated"]
    assert list(result.get("analyses", [])) == request.get("analyses", [])
    scores = result.get("scores")
    assert (scores is not None) == request.get("return_all_scores", False)
    if scores is not None:
        assert scores.keys() == LABELS
        assert math.isclose(sum(scores.values()), 1, abs_tol=1e-5)
        assert scores[result["sentiment"]] == result["confidence"] == max(scores.values())


_CHECKS = {
    "/process-batch": _check_batch,
    "/process-batch-stream": _check_stream,
    "/analyze-single": _check_single,
    "/text-classification": _check_label_scores,
}
