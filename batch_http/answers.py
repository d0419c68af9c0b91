"""From the engine's results to the wire."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, TypeAdapter
from starlette.responses import Response

from batch_inference.engine import Classification, Engine, Prediction
from batch_inference.settings import Settings
from schemas import (
    BatchInfo,
    BatchRequest,
    BatchResult,
    BatchStats,
    FailedSingle,
    FailedText,
    Failure,
    InvalidText,
    LabelScore,
    LatencyPercentiles,
    PerformanceMetrics,
    Result,
    SingleRequest,
    SingleResult,
    TextClassificationRequest,
    TextResult,
)

_LABEL_SCORES = TypeAdapter(list[list[LabelScore]])


def json_response(content: BaseModel | bytes) -> Response:
    """A response with the bytes already serialised: in production the SDK cannot serialise a pydantic model itself."""
    return Response(content if isinstance(content, bytes) else content.model_dump_json(), media_type="application/json")


def valid_texts(texts: Sequence[str | InvalidText]) -> list[str]:
    """What the engine is asked about."""
    return [text for text in texts if isinstance(text, str)]


def text_result(text: str, prediction: Prediction, order: int, with_scores: bool) -> TextResult:
    """One text's answer; `order` is its index in the request."""
    return TextResult(
        text=text,
        sentiment=prediction.label,
        confidence=prediction.confidence,
        token_count=prediction.num_tokens,
        processing_order=order,
        truncated=prediction.is_truncated,
        scores=prediction.scores if with_scores else None,
    )


def text_results(
    request: BatchRequest, predictions: list[Prediction], start: int = 0, end: int | None = None
) -> list[Result]:
    """The answers for the request's texts from index `start` to `end`: a prediction for each that has one."""
    remaining = iter(predictions)
    return [
        FailedText(processing_order=order, error=_failure(f"texts[{order}]", text))
        if isinstance(text, InvalidText)
        else text_result(text, next(remaining), order, request.return_all_scores)
        for order, text in enumerate(request.texts[start:end], start)
    ]


def _failure(name: str, text: InvalidText) -> Failure:
    return Failure(code=text.kind, message=f"{name} {text.problem}")


def batch_result(
    request: BatchRequest, outcome: Classification, processing_time: float, engine: Engine, settings: Settings
) -> BatchResult:
    """Answer of `/process-batch`; `processing_time` in seconds."""
    num_texts = len(request.texts)
    return BatchResult(
        results=text_results(request, outcome.predictions),
        total_texts=num_texts,
        processing_time=processing_time,
        average_time_per_text=processing_time / num_texts,
        batch_info=BatchInfo(
            requested_batch_size=request.batch_size,
            actual_batches_used=outcome.usage.num_passes,
            max_length=engine.effective_max_length(request.max_length),
            device=engine.model.device,
            model=settings.model,
            precision=engine.model.precision,
        ),
        performance_metrics=PerformanceMetrics(
            texts_per_second=len(outcome.predictions) / processing_time,
            gpu_memory_used=engine.model.memory_gib(),
            total_tokens_processed=sum(prediction.num_tokens for prediction in outcome.predictions),
            queue_time=outcome.queue_time_s,
            inference_time=outcome.usage.inference_time_s,
            padding_ratio=outcome.usage.padding_ratio,
        ),
    )


def single_result(
    request: SingleRequest, outcome: Classification, processing_time: float
) -> SingleResult | FailedSingle:
    """Answer of `/analyze-single`; `processing_time` in seconds."""
    if isinstance(request.text, InvalidText):
        error = _failure("text", request.text)
        return FailedSingle(processing_order=0, error=error, processing_time=processing_time)
    result = text_result(request.text, outcome.predictions[0], 0, request.return_all_scores)
    return SingleResult(**dict(result), processing_time=processing_time)


def label_scores(request: TextClassificationRequest, predictions: list[Prediction]) -> bytes:
    """Answer of `/text-classification`, as JSON: per text its best labels, best first."""
    top_k = request.parameters.top_k if request.parameters else None
    return _LABEL_SCORES.dump_json(
        [
            [LabelScore(label=label, score=score) for label, score in _best_first(prediction.scores)[:top_k]]
            for prediction in predictions
        ]
    )


def _best_first(scores: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(scores.items(), key=lambda item: item[1], reverse=True)


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
        errors=counted.errors,
        max_batch_tokens=engine.max_batch_tokens,
    )
