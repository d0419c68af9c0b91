"""From the engine's results to the wire."""

from __future__ import annotations

from pydantic import BaseModel
from starlette.responses import Response

from batch_inference.engine import Classification, Engine, Prediction
from batch_inference.settings import Settings
from schemas import (
    BatchInfo,
    BatchRequest,
    BatchResult,
    BatchStats,
    LatencyPercentiles,
    PerformanceMetrics,
    SingleRequest,
    SingleResult,
    TextResult,
)


def json_response(model: BaseModel) -> Response:
    """A response with the bytes already serialised: in production the SDK cannot serialise a pydantic model itself."""
    return Response(model.model_dump_json(), media_type="application/json")


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


def text_results(request: BatchRequest, predictions: list[Prediction], start: int = 0) -> list[TextResult]:
    """The answers for the request's texts from index `start` on, one per prediction."""
    return [
        text_result(request.texts[order], prediction, order, request.return_all_scores)
        for order, prediction in enumerate(predictions, start)
    ]


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
            texts_per_second=num_texts / processing_time,
            gpu_memory_used=engine.model.memory_gib(),
            total_tokens_processed=sum(prediction.num_tokens for prediction in outcome.predictions),
            queue_time=outcome.queue_time_s,
            inference_time=outcome.usage.inference_time_s,
            padding_ratio=outcome.usage.padding_ratio,
        ),
    )


def single_result(request: SingleRequest, outcome: Classification, processing_time: float) -> SingleResult:
    """Answer of `/analyze-single`; `processing_time` in seconds."""
    result = text_result(request.text, outcome.predictions[0], 0, request.return_all_scores)
    return SingleResult(**dict(result), processing_time=processing_time)


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
