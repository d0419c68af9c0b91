"""What every answer must satisfy, whatever was asked: its schema, and sums that add up."""

from __future__ import annotations

import json
import math
from typing import Any

from schemas import BatchResult, BatchStats, SingleResult

STATUSES = {200, 400, 404, 405, 429}
"""All there is. Anything else would count against the instance on the platform, or be a fault."""

LABELS = {"NEGATIVE", "NEUTRAL", "POSITIVE"}
MODEL_TOKENS = 512
LONG_TEXT_FIELDS = ("on_long_text", "on_invalid_text")
"""Options that change what a result looks like; their own tests look at those."""


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
    elif isinstance(request, dict) and not any(name in request for name in LONG_TEXT_FIELDS):
        checks = {
            "/process-batch": _check_batch,
            "/process-batch-stream": _check_stream,
            "/analyze-single": _check_single,
        }
        if path in checks:
            checks[path](request, content)


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
    assert math.isclose(metrics.texts_per_second * answer.processing_time, answer.total_texts)
    assert metrics.total_tokens_processed == sum(result["token_count"] for result in results)
    assert 0 <= metrics.padding_ratio < 1
    assert 0 <= metrics.queue_time <= answer.processing_time
    assert 0 <= info.actual_batches_used <= answer.total_texts
    assert info.requested_batch_size == request.get("batch_size", 16)
    assert info.max_length == min(MODEL_TOKENS, request.get("max_length", 512))


def _check_single(request: dict[str, Any], content: bytes) -> None:
    answer = SingleResult.model_validate_json(content, strict=True)
    assert answer.processing_time > 0
    _check_results(request, [request["text"]], [json.loads(content)])


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
    assert stats.total_requests <= stats.total_texts_processed


def _check_results(request: dict[str, Any], texts: list[str], results: list[dict[str, Any]]) -> None:
    limit = min(MODEL_TOKENS, request.get("max_length", 512))
    assert [result["processing_order"] for result in results] == list(range(len(texts)))
    for text, result in zip(texts, results, strict=True):
        # A stream leaves the texts out of a line that would be too long.
        assert result["text"] in (text.strip(), None)
        assert result["sentiment"] in LABELS
        assert 1 / 3 - 1e-6 <= result["confidence"] <= 1 + 1e-6
        assert 2 <= result["token_count"] <= limit
        assert not result["truncated"] or result["token_count"] == limit
        scores = result.get("scores")
        assert (scores is not None) == request.get("return_all_scores", False)
        if scores is not None:
            assert scores.keys() == LABELS
            assert math.isclose(sum(scores.values()), 1, abs_tol=1e-5)
            assert scores[result["sentiment"]] == result["confidence"] == max(scores.values())
