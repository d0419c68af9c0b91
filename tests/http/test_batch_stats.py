"""`GET /batch-stats` adds up to exactly what was sent, and Prometheus has the same figures."""

from __future__ import annotations

from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from rehearsal.dev_server import running_server


def test_figures_add_up(tmp_path: Path, tweets: list[str]) -> None:
    with running_server(tmp_path / "log") as server, httpx.Client(base_url=server.url, timeout=60) as client:
        fresh = client.get("/batch-stats").json()
        assert (fresh["total_requests"], fresh["latency"]) == (0, {"p50": None, "p95": None, "p99": None})

        client.post("/process-batch", json={"texts": tweets[:100]})
        client.post("/process-batch", json={"texts": ["ok " * 200] * 3, "max_length": 50})
        client.post("/process-batch-stream", json={"texts": tweets[:25], "batch_size": 5})
        client.post("/analyze-single", json={"text": "I love this!"})
        client.post("/analyze-single", json={"text": ""})

        stats = client.get("/batch-stats").json()
        assert stats["total_requests"] == 4
        assert stats["total_texts_processed"] == 100 + 3 + 25 + 1
        assert stats["peak_batch_size"] == 100
        assert stats["truncated_texts"] == 3
        assert stats["errors"] == {"invalid_request": 1}
        assert (stats["requests_in_flight"], stats["queued_texts"]) == (0, 0)
        assert stats["forward_passes"] * stats["mean_texts_per_pass"] == 129
        assert 0 < stats["latency"]["p50"] <= stats["latency"]["p95"] <= stats["latency"]["p99"]
        assert 0 < stats["average_batch_time"] < stats["uptime"]
        assert 0 <= stats["padding_ratio"] < 1
        assert (stats["device"], stats["model"], stats["precision"]) == ("cpu", "bundled", "float32")
        assert stats["model_loaded"] is True
        assert stats["device_report"]["threads"] >= 1
        assert stats["device_report"]["choices"]
        assert stats["current_gpu_memory"] is stats["max_gpu_memory"] is stats["revision"] is None

        samples = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(client.get("/_metrics").text)
            for sample in family.samples
        }
        assert samples["batch_processor_texts_total", "sentiment"] == 129
        assert samples["batch_processor_requests_total",] == 4
        assert samples["batch_processor_errors_total", "invalid_request"] == 1
        assert samples["batch_processor_pass_texts_sum", "sentiment"] == 129
