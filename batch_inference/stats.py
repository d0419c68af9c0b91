"""What the service has done and is doing: the figures behind `GET /batch-stats` and Prometheus' `/_metrics`."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import prometheus_client as prometheus

from batch_inference.passes_in_flight import PassRecord

LATENCY_WINDOW = 2048
"""Requests the latency percentiles look back on."""

RATE_WINDOW_S = 60

_PREFIX = "batch_processor_"
_REQUESTS = prometheus.Counter(_PREFIX + "requests", "Requests answered with results")
_TEXTS = prometheus.Counter(_PREFIX + "texts", "Texts that got a prediction")
_TRUNCATED = prometheus.Counter(_PREFIX + "truncated_texts", "Texts the model did not see whole")
_ERRORS = prometheus.Counter(_PREFIX + "errors", "Requests that got an error, by kind", ["kind"])
_IN_FLIGHT = prometheus.Gauge(_PREFIX + "requests_in_flight", "Requests being worked on")
_LATENCY = prometheus.Histogram(_PREFIX + "request_seconds", "From a request's arrival to its answer")
_QUEUE_TIME = prometheus.Histogram(_PREFIX + "queue_seconds", "From a request's arrival to its first forward pass")
_PASS_TIME = prometheus.Histogram(_PREFIX + "pass_seconds", "Duration of a forward pass")
_PASS_ROWS = prometheus.Histogram(_PREFIX + "pass_texts", "Texts in a forward pass", buckets=[2**n for n in range(11)])
_PASS_TOKENS = prometheus.Histogram(
    _PREFIX + "pass_tokens", "Padded tokens in a forward pass", buckets=[2**n for n in range(4, 18)]
)
_CACHE_HITS = prometheus.Counter(_PREFIX + "cache_hits", "Rows that cost nothing: equal ones were run before")
_CACHE_MISSES = prometheus.Counter(_PREFIX + "cache_misses", "Rows that had to be run")
_PADDING = prometheus.Counter(_PREFIX + "padding_tokens", "Padding tokens run through the model")


@dataclass(frozen=True)
class StatsSnapshot:
    """The counters at one moment. Times in seconds; percentiles are None before the first request."""

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
    forward_passes: int
    mean_texts_per_pass: float
    padding_ratio: float
    cache_hits: int
    cache_misses: int
    errors: dict[str, int]


class Stats:
    """Thread-safe counters of one engine. A request counts when it has been answered."""

    def __init__(self) -> None:
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
        self._num_passes = 0
        self._total_pass_s = 0.0
        self._num_rows = 0
        self._num_tokens = 0
        self._num_padding_tokens = 0
        self._num_cache_hits = 0
        self._num_cache_misses = 0
        self._errors: Counter[str] = Counter()

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
        """Count an answered request."""
        with self._lock:
            self._num_requests += 1
            self._num_texts += num_texts
            self._num_truncated += num_truncated
            self._total_request_s += latency_s
            self._peak_texts = max(self._peak_texts, num_texts)
            self._latencies_s.append(latency_s)
            self._count_in_last_minute(num_texts)
        _REQUESTS.inc()
        _TEXTS.inc(num_texts)
        _TRUNCATED.inc(num_truncated)
        _LATENCY.observe(latency_s)
        _QUEUE_TIME.observe(queue_time_s)

    def count_pass(self, record: PassRecord) -> None:
        """Count a forward pass that went well."""
        with self._lock:
            self._num_passes += 1
            self._total_pass_s += record.duration_s
            self._num_rows += record.num_rows
            self._num_tokens += record.num_tokens
            self._num_padding_tokens += record.num_padding_tokens
        _PASS_TIME.observe(record.duration_s)
        _PASS_ROWS.observe(record.num_rows)
        _PASS_TOKENS.observe(record.num_tokens)
        _PADDING.inc(record.num_padding_tokens)

    def count_cache(self, num_hits: int, num_misses: int) -> None:
        """Count rows that were asked for: those that cost nothing, and those that had to be run."""
        with self._lock:
            self._num_cache_hits += num_hits
            self._num_cache_misses += num_misses
        _CACHE_HITS.inc(num_hits)
        _CACHE_MISSES.inc(num_misses)

    def seconds_for(self, num_tokens: int) -> float:
        """How long the passes so far would have taken for so many tokens; 0 before the first."""
        with self._lock:
            return num_tokens * self._total_pass_s / max(1, self._num_tokens)

    def count_error(self, kind: str) -> None:
        """Count a request that got an error instead of results, or a stream that ended in one."""
        with self._lock:
            self._errors[kind] += 1
        _ERRORS.labels(kind=kind).inc()

    def snapshot(self) -> StatsSnapshot:
        """All counters at one moment."""
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
                forward_passes=self._num_passes,
                mean_texts_per_pass=self._num_rows / max(1, self._num_passes),
                padding_ratio=self._num_padding_tokens / max(1, self._num_tokens),
                cache_hits=self._num_cache_hits,
                cache_misses=self._num_cache_misses,
                errors=dict(self._errors),
            )

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
