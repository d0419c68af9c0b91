"""`"on_invalid_text": "report"`: a text that breaks a rule gets an error in its place, and the others their answers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.helpers import answers_of

BAD = {
    "blank_text": " \t\n",
    "text_too_long": "a" * 10_001,
    "nul_character": "a\0b",
    "lone_surrogate": "half \ud83d",
    "string_type": 7,
}
SENTENCES = {
    "blank_text": "is blank; remove it or send some text",
    "text_too_long": "has 10001 characters, 10000 are allowed; shorten it or split it",
    "nul_character": "holds a NUL character (U+0000), which no text has; remove it",
    "lone_surrogate": "holds half of a surrogate pair at character 5, which is not text; send valid Unicode",
    "string_type": "must be a string, but is an integer",
}
NUM_TEXTS = {"/process-batch": 100, "/process-batch-stream": 100, "/analyze-single": 10}
"""The last takes a request for each."""


@pytest.mark.parametrize("endpoint", NUM_TEXTS)
@pytest.mark.parametrize("kind", BAD)
def test_seventy_answers_and_thirty_reasons(client: httpx.Client, tweets: list[str], endpoint: str, kind: str) -> None:
    texts: list[Any] = tweets[: NUM_TEXTS[endpoint]]
    bad = range(1, len(texts) * 9 // 10 + 1, 3)
    good = [index for index in range(len(texts)) if index not in bad]
    alone = answers_of(client, endpoint, [texts[index] for index in good])
    for index in bad:
        texts[index] = BAD[kind]
    mixed = answers_of(client, endpoint, texts, on_invalid_text="report")
    assert [answer["processing_order"] for answer in mixed] == list(range(len(texts)))
    for index, expected in zip(good, alone, strict=True):
        assert mixed[index].pop("confidence") == pytest.approx(expected.pop("confidence"), abs=1e-4)
        assert mixed[index] == expected | {"processing_order": index}
    for index in bad:
        name = "text" if endpoint == "/analyze-single" else f"texts[{index}]"
        error = {"code": kind, "message": f"{name} {SENTENCES[kind]}"}
        assert mixed[index] == {"processing_order": index, "error": error}


@pytest.mark.parametrize("endpoint", ["/process-batch", "/process-batch-stream"])
def test_a_request_without_one_good_text_is_answered(client: httpx.Client, endpoint: str) -> None:
    answers = answers_of(client, endpoint, [" ", None], on_invalid_text="report")
    assert [answer["error"]["code"] for answer in answers] == ["blank_text", "string_type"]


def test_a_chunk_without_one_good_text_keeps_its_place(client: httpx.Client) -> None:
    texts = ["I love this!", " ", " ", "What a waste of money."]
    answers = answers_of(client, "/process-batch-stream", texts, on_invalid_text="report", batch_size=1)
    assert [answer.get("sentiment") for answer in answers] == ["POSITIVE", None, None, "NEGATIVE"]


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"texts": []}, ["texts"]),
        ({"texts": [" "] * 101}, ["texts"]),
        ({"texts": "fine"}, ["texts"]),
        ({"texts": ["fine"], "max_length": 1}, ["max_length"]),
        ({"texts": ["fine"], "on_invalid_text": "skip"}, ["on_invalid_text"]),
    ],
)
def test_what_is_wrong_with_the_request_itself_is_never_reported_away(
    client: httpx.Client, change: dict[str, Any], loc: list[str]
) -> None:
    response = client.post("/process-batch", json={"on_invalid_text": "report"} | change)
    assert response.status_code == 400
    assert [problem["loc"] for problem in response.json()["detail"]] == [loc]
