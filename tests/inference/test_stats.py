"""The counters, and the same figures in Prometheus' default registry."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from batch_inference.passes_in_flight import PassRecord
from batch_inference.stats import Stats


def test_counters_add_up() -> None:
    stats = Stats()
    stats.count_request(num_texts=100, num_truncated=2, latency_s=3.0, queue_time_s=0.1)
    stats.count_request(num_texts=1, num_truncated=0, latency_s=1.0, queue_time_s=0.1)
    stats.count_pass(PassRecord(num_rows=60, num_tokens=600, num_padding_tokens=30, duration_s=0.5))
    stats.count_pass(PassRecord(num_rows=41, num_tokens=400, num_padding_tokens=20, duration_s=0.5))
    stats.count_error("queue_full")
    snapshot = stats.snapshot()
    assert (snapshot.total_requests, snapshot.total_texts, snapshot.truncated_texts) == (2, 101, 2)
    assert (snapshot.mean_request_s, snapshot.peak_texts) == (2.0, 100)
    models = snapshot.models
    assert (models.forward_passes, models.mean_texts_per_pass, models.padding_ratio) == (2, 50.5, 0.05)
    assert snapshot.errors == {"queue_full": 1}
    assert snapshot.texts_per_second == pytest.approx(101 / max(1, snapshot.uptime_s))


def test_the_time_for_tokens_is_that_of_the_passes_so_far() -> None:
    stats = Stats()
    assert stats.seconds_for(1000) == 0
    stats.count_pass(PassRecord(num_rows=60, num_tokens=600, num_padding_tokens=30, duration_s=0.5))
    stats.count_pass(PassRecord(num_rows=41, num_tokens=400, num_padding_tokens=20, duration_s=1.5))
    assert stats.seconds_for(500) == pytest.approx(1.0)


def test_percentiles_of_latency() -> None:
    stats = Stats()
    assert stats.snapshot().latency_p50_s is None
    for milliseconds in range(1, 102):
        stats.count_request(1, 0, milliseconds / 1000, 0.0)
    snapshot = stats.snapshot()
    assert snapshot.latency_p50_s == pytest.approx(0.051)
    assert snapshot.latency_p95_s == pytest.approx(0.096)
    assert snapshot.latency_p99_s == pytest.approx(0.1)


def test_requests_in_flight_are_counted_even_when_they_fail() -> None:
    stats = Stats()

    def fail() -> None:
        with stats.request_in_flight():
            assert stats.snapshot().requests_in_flight == 1
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        fail()
    assert stats.snapshot().requests_in_flight == 0


def test_prometheus_has_the_same_figures() -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    texts, errors = (
        value("batch_processor_texts_total", analysis="emotion"),
        value("batch_processor_errors_total", kind="queue_full"),
    )
    stats = Stats(["sentiment", "emotion"])
    stats.count_request(7, 0, 0.5, 0.1)
    stats.of("emotion").count_texts(7, 0)
    stats.count_error("queue_full")
    assert value("batch_processor_texts_total", analysis="emotion") == texts + 7
    assert value("batch_processor_errors_total", kind="queue_full") == errors + 1
