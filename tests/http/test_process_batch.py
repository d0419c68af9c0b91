"""`POST /process-batch` over HTTP, through the real SDK server."""

from __future__ import annotations

import json

import httpx
import pytest

RESULT_FIELDS = {"text", "sentiment", "confidence", "token_count", "processing_order", "truncated", "tokens_dropped"}


def test_a_hundred_tweets_in_one_request(client: httpx.Client, tweets: list[str]) -> None:
    response = client.post("/process-batch", json={"texts": tweets[:100], "return_all_scores": True})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {
        "results", "total_texts", "processing_time", "average_time_per_text", "batch_info", "performance_metrics",
    }  # fmt: skip
    assert body["total_texts"] == 100
    assert body["average_time_per_text"] == pytest.approx(body["processing_time"] / 100)
    assert [result["text"] for result in body["results"]] == tweets[:100]
    assert [result["processing_order"] for result in body["results"]] == list(range(100))
    for result in body["results"]:
        assert result.keys() == RESULT_FIELDS | {"scores"}
        assert result["scores"].keys() == {"NEGATIVE", "NEUTRAL", "POSITIVE"}
        assert sum(result["scores"].values()) == pytest.approx(1, abs=1e-5)
        assert result["confidence"] == max(result["scores"].values())
        assert result["sentiment"] == max(result["scores"], key=result["scores"].get)
    info = body["batch_info"]
    assert info.pop("actual_batches_used") >= 1
    assert info == {
        "requested_batch_size": 16, "max_length": 512, "device": "cpu", "model": "bundled", "precision": "float32",
    }  # fmt: skip
    metrics = body["performance_metrics"]
    assert metrics["texts_per_second"] == pytest.approx(100 / body["processing_time"])
    assert metrics["total_tokens_processed"] == sum(result["token_count"] for result in body["results"])
    assert metrics["gpu_memory_used"] is None
    assert 0 <= metrics["padding_ratio"] < 1
    assert 0 <= metrics["queue_time"] <= metrics["queue_time"] + metrics["inference_time"] <= body["processing_time"]


def test_scores_only_when_asked_for(client: httpx.Client) -> None:
    body = client.post("/process-batch", json={"texts": ["I love this!"]}).json()
    assert body["results"][0].keys() == RESULT_FIELDS


def test_texts_are_answered_stripped_and_never_masked(client: httpx.Client) -> None:
    body = client.post("/process-batch", json={"texts": ["  @john see https://example.org/x \n"]}).json()
    assert body["results"][0]["text"] == "@john see https://example.org/x"


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_batch_size_does_not_change_answers(client: httpx.Client, tweets: list[str], batch_size: int) -> None:
    expected = client.post("/process-batch", json={"texts": tweets[:40], "return_all_scores": True}).json()["results"]
    request = {"texts": tweets[:40], "return_all_scores": True, "batch_size": batch_size}
    for one, other in zip(client.post("/process-batch", json=request).json()["results"], expected, strict=True):
        assert one["sentiment"] == other["sentiment"]
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-4)


def test_a_text_of_3000_tokens_is_answered_as_truncated(client: httpx.Client) -> None:
    request = {"texts": ["ok " * 3000, "ok"], "max_length": 1024}
    body = client.post("/process-batch", json=request).json()
    assert body["batch_info"]["max_length"] == 512
    assert [(result["truncated"], result["token_count"]) for result in body["results"]] == [(True, 512), (False, 3)]


def test_any_valid_text_is_answered_as_it_was_sent(client: httpx.Client) -> None:
    texts = [
        "日本語",
        "🤷🏽‍♀️",
        "a\tb\nc",
        "\u202eabc",
        "\ufeffx",
        "e\u0301",
        '"\\/',
        "<script>",
        "x" * 10_000,
        "\x01\x7f",
    ]
    body = client.post("/process-batch", json={"texts": texts}).json()
    assert [result["text"] for result in body["results"]] == [text.strip() for text in texts]


def test_the_largest_request_is_not_refused_for_its_size(client: httpx.Client) -> None:
    body = json.dumps({"texts": ["\U0001f600" * 10_000] * 100, "max_length": 50})
    assert len(body) > 12_000_000
    response = client.post("/process-batch", content=body)
    assert response.status_code == 200
    assert all(result["truncated"] and result["token_count"] == 50 for result in response.json()["results"])


def test_fields_that_the_platform_adds_are_tolerated(client: httpx.Client) -> None:
    request = {"texts": ["ok"], "stream": False, "stream_options": {"include_usage": True}}
    assert client.post("/process-batch", json=request).status_code == 200


def test_one_text_through_analyze_single(client: httpx.Client) -> None:
    body = client.post("/analyze-single", json={"text": " I love this! ", "return_all_scores": True}).json()
    assert body.keys() == RESULT_FIELDS | {"scores", "processing_time"}
    assert (body["text"], body["sentiment"], body["processing_order"]) == ("I love this!", "POSITIVE", 0)
    assert client.post("/analyze-single", json={"text": "ok " * 90, "max_length": 50}).json()["truncated"]
