"""What the service has done and is doing: the figures behind `GET /batch-stats` and Prometheus' `/_metrics`."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import prometheus_client as prometheus

from batch_inference.model_stats import PREFIX, ModelSnapshot, ModelStats
from batch_inference.passes_in_flight import PassRecord

LATENCY_WINDOW = 2048
"""Requests the latency percentiles look back on."""

RATE_WINDOW_S = 60

_REQUESTS = prometheus.Counter(PREFIX + "requests", "Requests answered with results")
_ERRORS = prometheus.Counter(PREFIX + "errors", "Requests that got an error, by kind", ["kind"])
_IN_FLIGHT = prometheus.Gauge(PREFIX + "requests_in_flight", "Requests being worked on")
_LATENCY = prometheus.Histogram(PREFIX + "request_seconds", "From a request's arrival to its answer")
_QUEUE_TIME = prometheus.Histogram(PREFIX + "queue_seconds", "From a request's arrival to its first forward pass")


@dataclass(frozen=True)
class StatsSnapshot:
    """The counters at one moment, those of `models` as sums. Times in seconds; percentiles are None before the first
    request."""

    total_requests: int
    total_texts: int
    truncated_texts: int
    mean_request_s: float
    peak_texts: int
    uptime_s: float
    requests_in_flight: int
    texts_per_second: float
    latency_p50_s: float | None
    latency_p95_s: float | None
    latency_p99_s: float | None
    models: ModelSnapshot
    errors: dict[str, int]


class Stats:
    """Thread-safe counters of one engine. A request counts when it has been answered.

    Args:
        models: the names of its models.
    """

    def __init__(self, models: Iterable[str] = ("",)) -> None:
        self._models = {name: ModelStats(name) for name in models}
        self._lock = threading.Lock()
        self._started_at = time.monotonic()
        self._num_requests = 0
        self._num_texts = 0
        self._num_truncated = 0
        self._total_request_s = 0.0
        self._peak_texts = 0
        self._in_flight = 0
        self._latencies_s: deque[float] = deque(maxlen=LATENCY_WINDOW)
        self._texts_by_second: deque[tuple[int, int]] = deque()
        self._errors: Counter[str] = Counter()

    def of(self, model: str) -> ModelStats:
        """The counters of one of the models."""
        return self._models[model]

    @contextmanager
    def request_in_flight(self) -> Iterator[None]:
        """Count a request as being worked on for as long as the block lasts."""
        with self._lock:
            self._in_flight += 1
        _IN_FLIGHT.inc()
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1
            _IN_FLIGHT.dec()

    def count_request(self, num_texts: int, num_truncated: int, latency_s: float, queue_time_s: float) -> None:
        """Count an answered request; its models count its texts."""
        with self._lock:
            self._num_requests += 1
            self._num_texts += num_texts
            self._num_truncated += num_truncated
            self._total_request_s += latency_s
            self._peak_texts = max(self._peak_texts, num_texts)
            self._latencies_s.append(latency_s)
            self._count_in_last_minute(num_texts)
        _REQUESTS.inc()
        _LATENCY.observe(latency_s)
        _QUEUE_TIME.observe(queue_time_s)

    def count_pass(self, record: PassRecord) -> None:
        """Count a forward pass that went well."""
        self._models[record.model].count_pass(record)

    def seconds_for(self, num_tokens: int) -> float:
        """How long the passes so far would have taken for so many tokens; 0 before the first."""
        models = self._of_all_models()
        return num_tokens * models.pass_s / max(1, models.tokens)

    def count_error(self, kind: str) -> None:
        """Count a request that got an error instead of results, or a stream that ended in one."""
        with self._lock:
            self._errors[kind] += 1
        _ERRORS.labels(kind=kind).inc()

    def snapshot(self) -> StatsSnapshot:
        """All counters at one moment."""
        models = self._of_all_models()
        with self._lock:
            uptime_s = time.monotonic() - self._started_at
            self._count_in_last_minute(0)
            p50, p95, p99 = _percentiles(self._latencies_s)
            return StatsSnapshot(
                total_requests=self._num_requests,
                total_texts=self._num_texts,
                truncated_texts=self._num_truncated,
                mean_request_s=self._total_request_s / max(1, self._num_requests),
                peak_texts=self._peak_texts,
                uptime_s=uptime_s,
                requests_in_flight=self._in_flight,
                texts_per_second=sum(n for _, n in self._texts_by_second) / max(1.0, min(RATE_WINDOW_S, uptime_s)),
                latency_p50_s=p50,
                latency_p95_s=p95,
                latency_p99_s=p99,
                models=models,
                errors=dict(self._errors),
            )

    def _of_all_models(self) -> ModelSnapshot:
        return sum((model.snapshot() for model in self._models.values()), ModelSnapshot())

    def _count_in_last_minute(self, num_texts: int) -> None:
        second = int(time.monotonic())
        if self._texts_by_second and self._texts_by_second[-1][0] == second:
            num_texts += self._texts_by_second.pop()[1]
        self._texts_by_second.append((second, num_texts))
        while self._texts_by_second[0][0] <= second - RATE_WINDOW_S:
            self._texts_by_second.popleft()


def _percentiles(values: deque[float]) -> tuple[float | None, float | None, float | None]:
    if not values:
        return None, None, None
    if len(values) == 1:
        return values[0], values[0], values[0]
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]
