"""The embedder and the generator get any request, too: one of five statuses, an answer that fits, and all counted."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_embedding.wire import EmbeddingList, EmbeddingRequest
from batch_generation.wire import GenerateRequest, GenerateResult, GenerationCompleted
from batch_http.requests import RequestBody
from rehearsal.dev_server import Server
from tests.fuzz import NUM_REQUESTS, fuzzing
from tests.fuzz.answers import STATUSES
from tests.fuzz.requests import Request, requests_to, several_texts, texts

DIMENSIONS = 384

Strategy = st.SearchStrategy[dict[str, Any]]

embeddings: Strategy = st.fixed_dictionaries(
    {"input": st.one_of(texts, several_texts)},
    optional={
        "encoding_format": st.sampled_from(["float", "base64"]),
        "dimensions": st.sampled_from([64, DIMENSIONS, None]),
        "user": st.text(max_size=5),
    },
)
short_texts = texts.map(lambda text: text[:40]).filter(lambda text: bool(text.strip()))
generations: Strategy = st.fixed_dictionaries(
    {"prompts": st.lists(short_texts, min_size=1, max_size=4), "max_new_tokens": st.integers(1, 5)},
    optional={"temperature": st.floats(0, 2), "seed": st.one_of(st.none(), st.integers(0, 2**32 - 1))},
)


def fuzz(url: str, path: str, valid: Strategy, model: type[RequestBody], check: Callable[[Any, bytes], int]) -> int:
    """Send what hypothesis makes up. `check` looks at an answer with status 200, and says for how many texts it is.

    Returns:
        For how many texts there were answers.
    """
    seen: Counter[int] = Counter()
    num_texts = 0
    with httpx.Client(base_url=url, timeout=120) as client:
        errors_before = client.get("/batch-stats").json()["errors"].get("invalid_request", 0)

        @fuzzing(max(20, NUM_REQUESTS // 50))
        @given(requests_to(path, valid, model))
        def try_one(request: Request) -> None:
            nonlocal num_texts
            headers = {"Content-Type": "application/json"}
            response = client.post(path, content=request.body, headers=headers)
            assert response.status_code in STATUSES, response.text[:300]
            if request.is_valid:
                assert response.status_code == 200, response.text[:300]
            seen[response.status_code] += 1
            if response.status_code == 200:
                num_texts += check(request.decoded, response.content)

        try_one()
        errors = client.get("/batch-stats").json()["errors"]
    print(f"{path}: {sum(seen.values())} requests, {dict(seen)}, {num_texts} texts")
    assert seen[200] > 0
    assert seen[400] > 0
    assert errors == {"invalid_request": errors_before + seen[400]}
    return num_texts


def check_embeddings(request: dict[str, Any], content: bytes) -> int:
    answer = EmbeddingList.model_validate_json(content, strict=True)
    inputs = request["input"]
    assert [item.index for item in answer.data] == list(range(1 if isinstance(inputs, str) else len(inputs)))
    is_base64 = request.get("encoding_format") == "base64"
    for item in answer.data:
        vector = base64.b64decode(item.embedding) if is_base64 and isinstance(item.embedding, str) else item.embedding
        num_dimensions = len(vector) // 4 if is_base64 else len(vector)
        assert num_dimensions == (request.get("dimensions") or DIMENSIONS)
    return len(answer.data)


def check_counted(server: Server, field: str, fuzz_it: Callable[[], int]) -> None:
    """Whether the statistics count just what was answered meanwhile."""
    before = httpx.get(f"{server.url}/batch-stats").json()[field]
    num_answered = fuzz_it()
    assert httpx.get(f"{server.url}/batch-stats").json()[field] - before == num_answered
    assert "Traceback" not in server.log.read_text(encoding="utf-8")


def test_any_request_to_the_embedder(embedder_server: Server) -> None:
    check_counted(
        embedder_server,
        "total_texts_processed",
        lambda: fuzz(embedder_server.url, "/v1/embeddings", embeddings, EmbeddingRequest, check_embeddings),
    )


def check_generation(request: dict[str, Any], content: bytes) -> int:
    answer = GenerateResult.model_validate_json(content, strict=True)
    assert [result.processing_order for result in answer.results] == list(range(len(request["prompts"])))
    assert all(result.completion_tokens <= request.get("max_new_tokens", 128) for result in answer.results)
    assert request.get("seed") in (None, answer.generation_info.seed)
    return len(answer.results)


def check_stream(request: dict[str, Any], content: bytes) -> int:
    events = [json.loads(line) for line in content.splitlines()]
    GenerationCompleted.model_validate_json(content.splitlines()[-1], strict=True)
    finished = sorted(event["processing_order"] for event in events if event["status"] == "result")
    assert finished == list(range(len(request["prompts"])))
    return len(finished)


@pytest.mark.parametrize(
    ("path", "check"), [("/generate-batch", check_generation), ("/generate-batch-stream", check_stream)]
)
def test_any_request_to_the_generator(generator_server: Server, path: str, check: Callable[[Any, bytes], int]) -> None:
    check_counted(
        generator_server,
        "total_prompts_processed",
        lambda: fuzz(generator_server.url, path, generations, GenerateRequest, check),
    )
