"""`GET /batch-stats` of a chute on the encoder engine: its fields, and where each comes from."""

from __future__ import annotations

from pydantic import BaseModel, Field

from batch_inference.engine import Engine
from batch_inference.settings import EncoderSettings
from batch_inference.start_notes import DeviceReport


class LatencyPercentiles(BaseModel):
    """Seconds from a request's arrival to its answer, over the most recent requests; null before the first."""

    p50: float | None
    p95: float | None
    p99: float | None


class BatchStats(BaseModel):
    """Answer of `GET /batch-stats`. Counted since the instance started unless said otherwise."""

    total_requests: int = Field(description="Requests answered with results, whole or streamed")
    total_texts_processed: int = Field(description="Texts that got a prediction")
    average_batch_time: float = Field(description="Mean seconds from a request's arrival to its answer")
    peak_batch_size: int = Field(description="Most texts in one request")
    device: str
    device_report: DeviceReport | None = Field(default=None, exclude_if=lambda report: report is None)
    model_loaded: bool
    current_gpu_memory: float | None
    max_gpu_memory: float | None
    model: str
    revision: str | None
    precision: str
    uptime: float
    requests_in_flight: int
    queued_texts: int
    texts_per_second: float = Field(description="Over the last minute, or since the start if that is shorter")
    latency: LatencyPercentiles
    forward_passes: int
    mean_texts_per_pass: float
    padding_ratio: float
    truncated_texts: int
    cache_hits: int = Field(description="Texts or windows that cost nothing: equal ones were run before")
    cache_misses: int = Field(description="Texts or windows that had to be run")
    cache_hit_rate: float = Field(description="Hits over both; 0 before the first")
    cache_size: float = Field(description="MiB of answers kept for texts that come again")
    errors: dict[str, int]
    max_batch_tokens: int
    forward: str = Field(description="How passes are computed: `packed`, without padding, or `padded`, by transformers")
    text_preparation: str = Field(
        description="What the model sees of a text: `none`, all of it as it is, or `tweets`, handles and links masked"
    )


def batch_stats(engine: Engine, settings: EncoderSettings) -> BatchStats:
    """Answer of `/batch-stats`. Of several models, counts are of all of them, and the rest is the first one's."""
    counted = engine.stats.snapshot()
    return BatchStats(
        total_requests=counted.total_requests,
        total_texts_processed=counted.total_texts,
        average_batch_time=counted.mean_request_s,
        peak_batch_size=counted.peak_texts,
        device=engine.model.device,
        device_report=engine.model.notes.device,
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
        forward_passes=counted.models.forward_passes,
        mean_texts_per_pass=counted.models.mean_texts_per_pass,
        padding_ratio=counted.models.padding_ratio,
        truncated_texts=counted.truncated_texts,
        cache_hits=counted.models.cache_hits,
        cache_misses=counted.models.cache_misses,
        cache_hit_rate=counted.models.cache_hit_rate,
        cache_size=engine.cache_mib,
        errors=counted.errors,
        max_batch_tokens=engine.max_batch_tokens,
        forward=engine.model.forward_name,
        text_preparation=engine.model.head.text_preparation,
    )
