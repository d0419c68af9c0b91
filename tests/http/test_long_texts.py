"""`on_long_text`: cut, read in windows, or refused; in every endpoint."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.helpers import answers_of

ENDPOINTS = ["/process-batch", "/process-batch-stream", "/analyze-single"]
LONG = "good " * 300
TEXTS = ["I love this!", LONG, "What a waste of money."]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_by_default_what_was_cut_off_is_counted(client: httpx.Client, endpoint: str) -> None:
    answers = answers_of(client, endpoint, TEXTS, max_length=64)
    assert [answer["truncated"] for answer in answers] == [False, True, False]
    assert [answer["tokens_dropped"] for answer in answers] == [0, 300 - 62, 0]
    assert all("windows" not in answer for answer in answers)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_in_windows_nothing_is_cut_off(client: httpx.Client, endpoint: str) -> None:
    answers = answers_of(client, endpoint, TEXTS, max_length=64, on_long_text="window", return_all_scores=True)
    assert [answer["truncated"] for answer in answers] == [False] * 3
    assert [answer["tokens_dropped"] for answer in answers] == [0] * 3
    # 62 tokens a window, each 46 (three quarters) after the one before.
    assert [answer["windows"] for answer in answers] == [1, 7, 1]
    assert [answer["token_count"] for answer in answers] == [6, 302, 8]
    assert [answer["sentiment"] for answer in answers] == ["POSITIVE", "POSITIVE", "NEGATIVE"]
    assert all(sum(answer["scores"].values()) == pytest.approx(1, abs=1e-5) for answer in answers)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_refused_they_are_reported_in_their_place(client: httpx.Client, endpoint: str) -> None:
    answers = answers_of(
        client, endpoint, [" ", *TEXTS], max_length=64, on_long_text="reject", on_invalid_text="report"
    )
    assert [answer.get("error", {}).get("code") for answer in answers] == ["blank_text", None, "too_many_tokens", None]
    name = "text" if endpoint == "/analyze-single" else "texts[2]"
    assert answers[2]["error"]["message"] == (
        f"{name} has 302 tokens, max_length allows 64; shorten it, or set on_long_text to window or truncate"
    )


@pytest.mark.parametrize(
    ("endpoint", "texts", "loc"),
    [
        ("/process-batch", {"texts": TEXTS}, ["texts", 1]),
        ("/process-batch-stream", {"texts": TEXTS}, ["texts", 1]),
        ("/analyze-single", {"text": LONG}, ["text"]),
    ],
)
def test_refused_they_fail_the_request(
    client: httpx.Client, endpoint: str, texts: dict[str, Any], loc: list[str | int]
) -> None:
    response = client.post(endpoint, json=texts | {"max_length": 64, "on_long_text": "reject"})
    assert response.status_code == 400
    [problem] = response.json()["detail"]
    assert (problem["loc"], problem["type"]) == (loc, "too_many_tokens")


def test_tokens_of_windows_are_counted_as_often_as_they_are_run(client: httpx.Client) -> None:
    request = {"texts": [LONG], "max_length": 64, "on_long_text": "window"}
    answer = client.post("/process-batch", json=request).json()
    assert answer["performance_metrics"]["total_tokens_processed"] == 7 * 64


def test_windows_come_in_a_stream_of_texts_that_are_cut_nowhere(client: httpx.Client) -> None:
    answers = answers_of(
        client, "/process-batch-stream", [LONG] * 5, max_length=50, on_long_text="window", batch_size=2
    )
    assert [answer["windows"] for answer in answers] == [8] * 5
