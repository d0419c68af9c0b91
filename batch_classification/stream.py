"""`/process-batch-stream`: the engine's chunks as JSON lines, in few writes."""

from __future__ import annotations

import time
from collections.abc import Iterator

from batch_classification.admission import admitted_request, valid_texts
from batch_classification.answers import text_results
from batch_classification.long_texts import without_long_texts
from batch_http.callers import caller_of
from batch_http.errors import counted_report
from batch_http.json_lines import MAX_LINE_BYTES, MAX_WRITES, in_few_writes, json_line
from batch_http.responses import Json
from batch_inference.engine import Engine
from batch_inference.outcome import Outcome, Outcomes
from schemas import BatchRequest


def stream_batch(engine: Engine, request: BatchRequest, body: object = None) -> Iterator[bytes]:
    """Classify a request's texts; yields one or more JSON lines at a time, at most `MAX_WRITES` times.

    When the caller of `body`, which the request was parsed from, leaves, its texts leave the queue.

    Raises:
        InvalidRequest, QueueFullError, EngineStoppedError, CancelledError: before the first yield. Later errors become
            a line of the stream.
    """
    starts = range(0, len(request.texts), request.batch_size)
    chunks_per_write = -(-len(starts) // (MAX_WRITES - 1))
    with caller_of(body) as caller, admitted_request(engine, request, caller) as admitted:
        request = without_long_texts(request, admitted)
        sizes = [len(valid_texts(request.texts[start : start + request.batch_size])) for start in starts]
        events = _events(engine, request, admitted.in_chunks(sizes), len(starts))
        yield from in_few_writes((_line(event), _ends_write(event, chunks_per_write)) for event in events)


def _ends_write(event: Json, chunks_per_write: int) -> bool:
    """Whether a chunk begins: its predecessors' results go out before it is waited for."""
    return bool(event["status"] == "processing_batch" and (event["batch_number"] - 1) % chunks_per_write == 0)


def _events(
    engine: Engine, request: BatchRequest, chunks: Iterator[Outcome | Outcomes], num_chunks: int
) -> Iterator[Json]:
    """The events, each as its model in `schemas` has it: a `StreamEvent`."""
    num_texts, size = len(request.texts), request.batch_size
    started_at = time.monotonic()
    results: list[Json] = []
    yield {"status": "started", "total_texts": num_texts, "batch_size": size, "estimated_batches": num_chunks}
    try:
        for number in range(1, num_chunks + 1):
            start, end = len(results), min(number * size, num_texts)
            yield {
                "status": "processing_batch",
                "batch_number": number,
                "batch_size": end - start,
                "progress": end / num_texts,
            }
            waited_since = time.monotonic()
            outcome = next(chunks)
            partial = text_results(request, request.texts[start:end], outcome, start)
            results += partial
            # The passes that held the chunk: its neighbours may have shared them, so waiting time would mislead.
            # A chunk of answers that were at hand had none.
            batch_time = outcome.usage.inference_time_s or max(time.monotonic() - waited_since, 1e-6)
            yield {
                "status": "batch_complete",
                "batch_number": number,
                "batch_time": batch_time,
                "texts_per_second": len(outcome) / batch_time,
                "partial_results": partial,
            }
        # The engine counts the request once its last chunk has been taken.
        next(chunks, None)
    except Exception as error:
        if report := counted_report(engine.stats, error):
            failure = {"code": report.kind, "message": report.message}
            yield {"status": "error", "error": failure, "completed_texts": len(results)}
        return
    total_time = time.monotonic() - started_at
    yield {
        "status": "completed",
        "total_time": total_time,
        "average_time_per_text": total_time / num_texts,
        "final_results": results,
    }


def _line(event: Json) -> bytes:
    """One line within its bounds: without texts if need be, without scores if a model has many labels, and without
    analyses if these are many."""
    line = json_line(event)
    if len(line) <= MAX_LINE_BYTES:
        return line
    line = json_line(_shortened(event, "texts_omitted", {"text": None}))
    if len(line) <= MAX_LINE_BYTES:
        return line
    short = _shortened(event, "texts_omitted", {"text": None, "labels": None, "scores": None})
    line = json_line({"scores_omitted": True, **short})
    if len(line) <= MAX_LINE_BYTES:
        return line
    shorter = _shortened(short, "analyses_omitted", {"analyses": None})
    return json_line({"scores_omitted": True, **shorter})


def _shortened(event: Json, flag: str, left_out: Json) -> Json:
    """The event with other values in its results, and in those of their analyses, where they have such fields."""
    short = {flag: True, **event}
    for name in ("partial_results", "final_results"):
        for_all = short.get(name)
        if for_all is not None:
            short[name] = [_without(result, left_out) for result in for_all]
    return short


def _without(result: Json, left_out: Json) -> Json:
    shorter = result | {field: value for field, value in left_out.items() if field in result}
    if shorter.get("analyses"):
        shorter["analyses"] = {name: _without(each, left_out) for name, each in shorter["analyses"].items()}
    return shorter
