"""From the engine's results to the wire, as `schemas` has it: the tests hold every answer against its model there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from batch_inference.engine import Classification, Engine
from batch_inference.settings import Settings
from schemas import (
    BatchRequest,
    BatchStats,
    InvalidText,
    LatencyPercentiles,
    SingleRequest,
    TextClassificationParameters,
    TextClassificationRequest,
)

Json = dict[str, Any]
"""An answer as the dictionary that becomes its JSON. Its model is in `schemas`; a hundred `TextResult`s would cost ten
times as much as a hundred dictionaries."""


def json_response(answer: BaseModel | Json | list[Any]) -> Response:
    """A response with the bytes already serialised: in production the SDK cannot serialise a pydantic model itself."""
    content = answer.model_dump_json() if isinstance(answer, BaseModel) else orjson.dumps(answer)
    return Response(content, media_type="application/json")


def valid_texts(texts: Sequence[str | InvalidText]) -> list[str]:
    """What the engine is asked about."""
    return [text for text in texts if isinstance(text, str)]


def text_results(
    request: BatchRequest | SingleRequest, texts: Sequence[str | InvalidText], outcome: Classification, start: int = 0
) -> list[Json]:
    """The answers for these texts, in order: a `TextResult` each, or a `FailedText`.

    Args:
        request: what was asked for.
        texts: some of its texts, one after the other.
        outcome: what the engine says of the valid ones.
        start: index of the first of these texts in the request.
    """
    answered = _text_results(request, texts, outcome, start)
    return [
        {"processing_order": order, "error": _failure(f"texts[{order}]", text)}
        if isinstance(text, InvalidText)
        else next(answered)
        for order, text in enumerate(texts, start)
    ]


def _text_results(
    request: BatchRequest | SingleRequest, texts: Sequence[str | InvalidText], outcome: Classification, start: int
) -> Iterator[Json]:
    """A `TextResult` for each valid text. Its fields come from the columns of the outcome."""
    labels = outcome.labels
    valid = [(order, text) for order, text in enumerate(texts, start) if isinstance(text, str)]
    best_labels = outcome.probabilities.argmax(axis=1).tolist()
    columns = zip(
        valid,
        best_labels,
        outcome.probabilities.tolist(),
        outcome.num_tokens.tolist(),
        outcome.num_dropped.tolist(),
        outcome.num_windows.tolist(),
        strict=True,
    )
    for (order, text), best, probabilities, num_tokens, num_dropped, num_windows in columns:
        result: Json = {
            "text": text,
            "sentiment": labels[best],
            "confidence": probabilities[best],
            "token_count": num_tokens,
            "processing_order": order,
            "truncated": num_dropped > 0,
            "tokens_dropped": num_dropped,
        }
        if request.in_windows:
            result["windows"] = num_windows
        if request.return_all_scores:
            result["scores"] = dict(zip(labels, probabilities, strict=True))
        yield result


def _failure(name: str, text: InvalidText) -> Json:
    """A `Failure`."""
    return {"code": text.kind, "message": f"{name} {text.problem}"}


def batch_result(
    request: BatchRequest, outcome: Classification, processing_time: float, engine: Engine, settings: Settings
) -> Json:
    """Answer of `/process-batch`, a `BatchResult`; `processing_time` in seconds."""
    num_texts = len(request.texts)
    return {
        "results": text_results(request, request.texts, outcome),
        "total_texts": num_texts,
        "processing_time": processing_time,
        "average_time_per_text": processing_time / num_texts,
        "batch_info": {
            "requested_batch_size": request.batch_size,
            "actual_batches_used": outcome.usage.num_passes,
            "max_length": engine.effective_max_length(request.max_length),
            "device": engine.model.device,
            "model": settings.model,
            "precision": engine.model.precision,
        },
        "performance_metrics": {
            "texts_per_second": len(outcome) / processing_time,
            "gpu_memory_used": engine.model.memory_gib(),
            "total_tokens_processed": outcome.num_tokens_run,
            "queue_time": outcome.queue_time_s,
            "inference_time": outcome.usage.inference_time_s,
            "padding_ratio": outcome.usage.padding_ratio,
        },
    }


def single_result(request: SingleRequest, outcome: Classification, processing_time: float) -> Json:
    """Answer of `/analyze-single`, a `SingleResult` or a `FailedSingle`; `processing_time` in seconds."""
    if isinstance(request.text, InvalidText):
        return {"processing_order": 0, "error": _failure("text", request.text), "processing_time": processing_time}
    [result] = text_results(request, [request.text], outcome)
    return result | {"processing_time": processing_time}


def label_scores(request: TextClassificationRequest, outcome: Classification) -> list[list[Json]]:
    """Answer of `/text-classification`: per text its best labels, best first, a `LabelScore` each."""
    parameters = request.parameters or TextClassificationParameters()
    scores = outcome.logits if parameters.function_to_apply == "none" else outcome.probabilities
    best_first = scores.argsort(axis=1)[:, ::-1][:, : parameters.top_k]
    return [
        [{"label": outcome.labels[place], "score": float(row[place])} for place in places]
        for row, places in zip(scores, best_first.tolist(), strict=True)
    ]


def batch_stats(engine: Engine, settings: Settings) -> BatchStats:
    """Answer of `/batch-stats`."""
    counted = engine.stats.snapshot()
    return BatchStats(
        total_requests=counted.total_requests,
        total_texts_processed=counted.total_texts,
        average_batch_time=counted.mean_request_s,
        peak_batch_size=counted.peak_texts,
        device=engine.model.device,
        model_loaded=engine.is_ready,
        current_gpu_memory=engine.model.memory_gib(),
        max_gpu_memory=engine.model.peak_memory_gib(),
        model=settings.model,
        revision=settings.pinned_revision,
        precision=engine.model.precision,
        uptime=counted.uptime_s,
        requests_in_flight=counted.requests_in_flight,
        queued_texts=engine.num_queued_texts,
        texts_per_second=counted.texts_per_second,
        latency=LatencyPercentiles(p50=counted.latency_p50_s, p95=counted.latency_p95_s, p99=counted.latency_p99_s),
        forward_passes=counted.forward_passes,
        mean_texts_per_pass=counted.mean_texts_per_pass,
        padding_ratio=counted.padding_ratio,
        truncated_texts=counted.truncated_texts,
        cache_hits=counted.cache_hits,
        cache_misses=counted.cache_misses,
        cache_hit_rate=counted.cache_hits / max(1, counted.cache_hits + counted.cache_misses),
        cache_size=engine.cache_mib,
        errors=counted.errors,
        max_batch_tokens=engine.max_batch_tokens,
        forward="padded" if engine.model.is_padded else "packed",
    )
