"""Whatever a client sends, a mistake is a 400 with a sentence; never a 422, never a 500."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from schemas import BatchRequest
from tests.helpers import problems_of

ENDPOINTS = ["/process-batch", "/process-batch-stream", "/analyze-single"]
FIELDS = ", ".join(sorted(BatchRequest.model_fields))
GOOD: dict[str, Any] = {"texts": ["fine"]}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is not JSON"),
        (b"not json", "the body is not JSON"),
        (b'{"texts": ["fine"]', "the body is not JSON"),
        (b'{"texts": ["\xff"]}', "not valid UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"max_length": ' + b"9" * 5000 + b"}", "a number of 400 digits or more"),
        (b"{}", "the body is missing or empty; send a JSON object such as"),
        (b"[]", "the body is missing or empty"),
        (b"null", "the body is missing or empty"),
        (b"0", "the body is missing or empty"),
        (b'""', "the body is missing or empty"),
        (b'"x"', "the body is a string; send a JSON object"),
        (b"42", "the body is an integer"),
        (b"1e999", "the body is a number"),
        (b"true", "the body is a boolean"),
        (b"[1]", "the body is a list"),
        (b"[[[[[]]]]]", "the body is a list"),
    ],
)
def test_a_body_that_is_no_request(client: httpx.Client, endpoint: str, body: bytes, sentence: str) -> None:
    problems = problems_of(client.post(endpoint, content=body))
    assert sentence in problems[0]["msg"]


@pytest.mark.parametrize("endpoint", ["/process-batch", "/process-batch-stream"])
@pytest.mark.parametrize(
    ("change", "loc", "msg"),
    [
        ({"texts": None}, ["texts"], "texts must be a list of strings, but is null"),
        ({"texts": "fine"}, ["texts"], "texts must be a list of strings, but is a string"),
        ({"texts": {"0": "fine"}}, ["texts"], "texts must be a list of strings, but is an object"),
        ({"texts": []}, ["texts"], "texts is empty; send at least one text"),
        (
            {"texts": ["a"] * 101},
            ["texts"],
            "texts has 101 entries, 100 are allowed; split it into several requests",
        ),
        ({"texts": ["a", 5]}, ["texts", 1], "texts[1] must be a string, but is an integer"),
        ({"texts": [["a"]]}, ["texts", 0], "texts[0] must be a string, but is a list"),
        ({"texts": ["a", " \t\n"]}, ["texts", 1], "texts[1] is blank; remove it or send some text"),
        (
            {"texts": ["a" * 10_001]},
            ["texts", 0],
            "texts[0] has 10001 characters, 10000 are allowed; shorten it or split it",
        ),
        (
            {"texts": ["a" * 5_000_000]},
            ["texts", 0],
            "texts[0] has 5000000 characters, 10000 are allowed; shorten it or split it",
        ),
        ({"texts": ["a\0b"]}, ["texts", 0], "texts[0] holds a NUL character (U+0000), which no text has; remove it"),
        (
            {"texts": ["ok \ud83d"]},
            ["texts", 0],
            "texts[0] holds half of a surrogate pair at character 3, which is not text; send valid Unicode",
        ),
        ({"max_length": "512"}, ["max_length"], "max_length must be an integer, but is a string"),
        ({"max_length": 128.5}, ["max_length"], "max_length must be an integer, but is a number"),
        ({"max_length": True}, ["max_length"], "max_length must be an integer, but is a boolean"),
        ({"max_length": float("nan")}, ["max_length"], "max_length must be an integer, but is a number"),
        ({"max_length": 49}, ["max_length"], "max_length must be 50 or more"),
        ({"max_length": 1025}, ["max_length"], "max_length must be 1024 or less"),
        ({"max_length": 10**300}, ["max_length"], "max_length must be 1024 or less"),
        ({"max_length": -(10**30)}, ["max_length"], "max_length must be 50 or more"),
        ({"batch_size": 0}, ["batch_size"], "batch_size must be 1 or more"),
        ({"batch_size": 33}, ["batch_size"], "batch_size must be 32 or less"),
        ({"batch_size": [16]}, ["batch_size"], "batch_size must be an integer, but is a list"),
        (
            {"return_all_scores": 1},
            ["return_all_scores"],
            "return_all_scores must be true or false, but is an integer",
        ),
        (
            {"text": "a"},
            ["text"],
            "text is not a known field; remove it or use one of " + FIELDS,
        ),
        (
            {"\ud800": 1},
            ["\\ud800"],
            "\\ud800 is not a known field; remove it or use one of " + FIELDS,
        ),
    ],
)
def test_a_field_that_breaks_its_rule(
    client: httpx.Client, endpoint: str, change: dict[str, Any], loc: list[str | int], msg: str
) -> None:
    problems = problems_of(client.post(endpoint, content=json.dumps(GOOD | change)))
    assert [(problem["loc"], problem["msg"]) for problem in problems] == [(loc, msg)]


def test_every_problem_is_named_at_once(client: httpx.Client) -> None:
    body = {"texts": ["fine", "", 3, "x" * 10_001], "max_length": "16", "batch_size": 99, "verbose": True}
    problems = problems_of(client.post("/process-batch", json=body))
    assert {tuple(problem["loc"]) for problem in problems} == {
        ("texts", 1), ("texts", 2), ("texts", 3), ("max_length",), ("batch_size",), ("verbose",),
    }  # fmt: skip


def test_a_missing_field_is_named(client: httpx.Client) -> None:
    assert problems_of(client.post("/process-batch", json={"batch_size": 4}))[0]["loc"] == ["texts"]
    assert problems_of(client.post("/analyze-single", json={"max_length": 64}))[0]["loc"] == ["text"]


def test_thousands_of_problems_make_a_short_answer(client: httpx.Client) -> None:
    body = {"texts": ["fine"], **{f"field{number}" * 50: 1 for number in range(3000)}}
    response = client.post("/process-batch", json=body)
    problems = problems_of(response)
    assert len(problems) == 101
    assert problems[-1]["msg"] == "2900 more problems are not listed; mend these first"
    assert len(response.content) < 64 * 1024


def test_deep_nesting_inside_a_field(client: httpx.Client) -> None:
    body = b'{"texts": ' + b"[" * 500 + b"]" * 500 + b"}"
    assert problems_of(client.post("/process-batch", content=body))[0]["loc"] == ["texts", 0]


def test_refusals_are_counted(client: httpx.Client) -> None:
    def count() -> int:
        errors: dict[str, int] = client.get("/batch-stats").json()["errors"]
        return errors.get("invalid_request", 0)

    before = count()
    client.post("/process-batch", json={"texts": []})
    client.post("/process-batch-stream", json={"texts": []})
    client.post("/analyze-single", content=b"not json")
    assert count() == before + 3


def test_the_server_is_well_after_all_that(client: httpx.Client) -> None:
    assert client.post("/process-batch", json=GOOD).status_code == 200


@pytest.mark.parametrize(("endpoint", "body"), [("/process-batch", GOOD), ("/analyze-single", {"text": "fine"})])
@pytest.mark.parametrize("asked", [True, 1, "true", {"chunks": 1}])
def test_asking_for_a_stream_where_there_is_none(
    client: httpx.Client, endpoint: str, body: dict[str, Any], asked: object
) -> None:
    (problem,) = problems_of(client.post(endpoint, json=body | {"stream": asked}))
    assert problem["loc"] == ["stream"]
    assert "/process-batch-stream" in problem["msg"]


@pytest.mark.parametrize("extra", [{"stream": False}, {"stream": None}, {"stream_options": {"include_usage": True}}])
def test_not_asking_for_a_stream_is_fine_anywhere(client: httpx.Client, extra: dict[str, Any]) -> None:
    for endpoint, body in [("/process-batch", GOOD), ("/analyze-single", {"text": "fine"}), (ENDPOINTS[1], GOOD)]:
        assert client.post(endpoint, json=body | extra).status_code == 200


@pytest.mark.parametrize("extra", [{"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}])
def test_asking_the_stream_for_a_stream(client: httpx.Client, extra: dict[str, Any]) -> None:
    assert client.post("/process-batch-stream", json=GOOD | extra).status_code == 200
