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
BAD_PLACES = range(1, 91, 3)
GOOD_PLACES = [place for place in range(100) if place not in BAD_PLACES]


@pytest.mark.parametrize("endpoint", ["/process-batch", "/process-batch-stream", "/analyze-single"])
@pytest.mark.parametrize("kind", BAD)
def test_seventy_answers_and_thirty_reasons(client: httpx.Client, tweets: list[str], endpoint: str, kind: str) -> None:
    good = tweets[:70]
    alone = answers_of(client, endpoint, good)
    texts: list[Any] = [BAD[kind] if place in BAD_PLACES else None for place in range(100)]
    for place, text in zip(GOOD_PLACES, good, strict=True):
        texts[place] = text
    mixed = answers_of(client, endpoint, texts, on_invalid_text="report")
    assert [answer["processing_order"] for answer in mixed] == list(range(100))
    for place, expected in zip(GOOD_PLACES, alone, strict=True):
        assert mixed[place].pop("confidence") == pytest.approx(expected.pop("confidence"), abs=1e-4)
        assert mixed[place] == expected | {"processing_order": place}
    for place in BAD_PLACES:
        name = "text" if endpoint == "/analyze-single" else f"texts[{place}]"
        error = {"code": kind, "message": f"{name} {SENTENCES[kind]}"}
        assert mixed[place] == {"processing_order": place, "error": error}


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
