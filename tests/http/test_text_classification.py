"""`POST /text-classification`: Hugging Face's shape, asked by its clients in Python and JavaScript, and by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import httpx
import pytest

from rehearsal.dev_server import Server
from tests.http.hugging_face import check_js_client, check_python_client, install_js_client

BLANK = "inputs[0] is blank; remove it or send some text"


def test_the_python_client(server: Server) -> None:
    error = check_python_client(f"{server.url}/text-classification")
    assert BLANK in str(error)


def test_the_javascript_client(server: Server, tmp_path: Path) -> None:
    assert BLANK in check_js_client(install_js_client(tmp_path), f"{server.url}/text-classification")


def test_one_text_and_several_are_answered_alike(client: httpx.Client) -> None:
    one = client.post("/text-classification", json={"inputs": "I love this!"}).json()
    several = client.post("/text-classification", json={"inputs": ["I love this!", "What a waste of money."]}).json()
    assert [[entry["label"] for entry in answer] for answer in several] == [
        ["positive", "negative", "neutral"],
        ["negative", "neutral", "positive"],
    ]
    assert [entry["score"] for entry in one[0]] == pytest.approx([entry["score"] for entry in several[0]], abs=1e-4)
    scores = client.post("/analyze-single", json={"text": "I love this!", "return_all_scores": True}).json()["scores"]
    assert {entry["label"].upper(): entry["score"] for entry in one[0]} == pytest.approx(scores, abs=1e-4)


def test_without_a_function_the_scores_are_logits(client: httpx.Client) -> None:
    request = {"inputs": "I love this!"}
    [answer] = client.post("/text-classification", json=request).json()
    [logits] = client.post("/text-classification", json=request | {"parameters": {"function_to_apply": "none"}}).json()
    assert [entry["label"] for entry in logits] == [entry["label"] for entry in answer]
    powers = [math.exp(entry["score"]) for entry in logits]
    assert sum(powers) != pytest.approx(1, abs=0.01)
    shares = [power / sum(powers) for power in powers]
    assert shares == pytest.approx([entry["score"] for entry in answer], abs=1e-5)


@pytest.mark.parametrize("top_k", [1, 2, 3, 99, None])
def test_top_k_cuts(client: httpx.Client, top_k: int | None) -> None:
    request = {"inputs": ["I love this!"] * 2, "parameters": {"top_k": top_k, "function_to_apply": "softmax"}}
    answers = client.post("/text-classification", json=request).json()
    assert [len(answer) for answer in answers] == [min(3, top_k or 3)] * 2
    assert all(answer[0]["label"] == "positive" for answer in answers)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"inputs": ["fine", " "]}, "inputs[1] is blank; remove it or send some text"),
        ({"inputs": None}, "inputs must be a list of strings, but is null"),
        ({"inputs": []}, "inputs is empty; send at least one text"),
        ({"parameters": {}}, 'inputs is required; send a body such as {"inputs": "I love this!"}'),
        ({"inputs": "fine", "parameters": [1]}, "parameters must be an object, but is a list"),
        ({"inputs": "fine", "parameters": {"top_k": 0}}, "parameters.top_k must be 1 or more"),
        ({"inputs": "fine", "parameters": {"top_k": True}}, "parameters.top_k must be an integer, but is a boolean"),
        (
            {"inputs": "fine", "parameters": {"function_to_apply": "tanh"}},
            "parameters.function_to_apply must be 'softmax', 'sigmoid' or 'none', but is 'tanh'",
        ),
        ({"inputs": "fine", "parameters": {"truncate": True}}, "parameters.truncate is not known here; remove it"),
        (
            {"inputs": "fine", "texts": []},
            "texts is not a known field; remove it or use one of inputs, options, parameters",
        ),
        (
            {"inputs": "fine", "parameters": {"truncation": False}},
            "parameters.truncation must be true: a text is read up to 512 tokens; /process-batch has on_long_text",
        ),
        ({"inputs": "fine", "options": {"use_gpu": True}}, "options.use_gpu is not known here; remove it"),
    ],
)
def test_a_mistake_is_told_in_one_sentence_under_error(
    client: httpx.Client, request_: dict[str, Any], sentence: str
) -> None:
    response = client.post("/text-classification", json=request_)
    assert response.status_code == 400
    assert response.json()["error"] == sentence
    assert response.json()["detail"][0]["msg"] == sentence


def test_options_that_change_nothing_are_taken(client: httpx.Client) -> None:
    plain = client.post("/text-classification", json={"inputs": "fine"}).json()
    options = {"use_cache": False, "wait_for_model": True}
    parameters = {"truncation": True, "top_k": None}
    request = {"inputs": "fine", "options": options, "parameters": parameters}
    assert client.post("/text-classification", json=request).json() == plain


def test_a_body_that_is_not_json_is_told_under_error_too(client: httpx.Client) -> None:
    response = client.post("/text-classification", content=b"not json")
    assert response.status_code == 400
    assert response.json()["error"].startswith("the body is not JSON")
