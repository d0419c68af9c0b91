"""The embedder through the real SDK server, called by the clients that people have: openai, LangChain, plain HTTP."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx
import numpy as np
import openai
import pytest

from batch_embedding.endpoints import ENDPOINTS, document
from batch_embedding.settings import MINILM_MODEL
from image import VERSION
from rehearsal.chutes import CHUTES
from rehearsal.dev_server import Server

TEXTS = ["I love this!", "What a waste of money.", "The parcel came on Monday."]
MODEL = MINILM_MODEL


@pytest.fixture
def client(embedder_server: Server) -> Iterator[httpx.Client]:
    """A plain one: what the classifier's is held against describes other endpoints."""
    with httpx.Client(base_url=embedder_server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def sdk(embedder_server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{embedder_server.url}/v1", api_key="any", max_retries=0)


@pytest.fixture(scope="module")
def expected() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    # Slow to import: only for the worker that runs these tests.
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(CHUTES["batch_embedder"].bundled_model(), device="cpu").encode(TEXTS)


def test_openais_client(sdk: openai.OpenAI, expected: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    model = sdk.models.list().data[0].id
    # Left alone, this client asks for base64 and decodes it.
    answer = sdk.embeddings.create(model=model, input=TEXTS)
    assert [item.index for item in answer.data] == [0, 1, 2]
    vectors = np.array([item.embedding for item in answer.data])
    assert vectors == pytest.approx(expected, abs=1e-4)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 22
    as_floats = sdk.embeddings.create(model=model, input=TEXTS, encoding_format="float")
    assert np.array([item.embedding for item in as_floats.data]) == pytest.approx(vectors, abs=1e-6)
    one = sdk.embeddings.create(model=model, input=TEXTS[0], dimensions=64)
    cut = expected[0, :64] / np.linalg.norm(expected[0, :64])
    assert np.array(one.data[0].embedding) == pytest.approx(cut, abs=1e-4)


def test_openais_client_understands_refusals(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        sdk.embeddings.create(model=MODEL, input=["fine", " "])
    assert refusal.value.param == "input"
    assert refusal.value.type == "invalid_request_error"
    assert "input[1] is blank" in refusal.value.message
    with pytest.raises(openai.BadRequestError, match="model is not served here"):
        sdk.embeddings.create(model="text-embedding-3-small", input="a")
    with pytest.raises(openai.BadRequestError, match="dimensions must be 64 or 128 or 384 with this model"):
        sdk.embeddings.create(model=MODEL, input="a", dimensions=100)


def test_langchain(embedder_server: Server, expected: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    from langchain_openai import OpenAIEmbeddings

    embeddings = OpenAIEmbeddings(
        base_url=f"{embedder_server.url}/v1", api_key="any", model=MODEL, check_embedding_ctx_length=False
    )
    assert np.array(embeddings.embed_documents(TEXTS)) == pytest.approx(expected, abs=1e-4)
    assert np.array(embeddings.embed_query(TEXTS[1])) == pytest.approx(expected[1], abs=1e-4)


@pytest.mark.parametrize("ids", [[1, 2, 3], [[1, 2], [3]]])
def test_token_ids_get_the_switch_to_set(client: httpx.Client, ids: object) -> None:
    # What LangChain sends unless told otherwise.
    response = client.post("/v1/embeddings", json={"input": ids, "model": MODEL})
    assert response.status_code == 400
    assert "check_embedding_ctx_length=False" in response.json()["error"]["message"]
    assert "check_embedding_ctx_length=False" in response.json()["detail"][0]["msg"]


def test_plain_http(client: httpx.Client, expected: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    answer = client.post("/v1/embeddings", json={"input": TEXTS[2], "encoding_format": "base64"}).json()
    vector = np.frombuffer(base64.b64decode(answer["data"][0]["embedding"]), dtype="<f4")
    assert vector == pytest.approx(expected[2], abs=1e-4)
    assert answer["object"] == "list"
    assert "truncated" not in answer["data"][0]
    before = client.get("/batch-stats").json()
    long = client.post("/v1/embeddings", json={"input": "word " * 500}).json()
    assert long["data"][0]["truncated"] is True
    assert long["usage"] == {"prompt_tokens": 256, "total_tokens": 256}
    stats = client.get("/batch-stats").json()
    assert (stats["truncated_texts"] - before["truncated_texts"], stats["forward"]) == (1, "packed")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, 'send a JSON object such as {"input": ["I love this!"]}'),
        ({"input": []}, "input is empty"),
        ({"input": ["a"] * 2049}, "input has 2049 entries, 2048 are allowed"),
        ({"input": ["a"], "encoding_format": "hex"}, "encoding_format must be"),
        ({"input": ["a"], "stream": True}, "leave stream out"),
        ({"input": ["a"], "priority": 1}, "priority is not a known field"),
    ],
)
def test_mistakes_are_told(client: httpx.Client, body: object, sentence: str) -> None:
    response = client.post("/v1/embeddings", json=body)
    assert response.status_code == 400
    assert sentence in response.json()["detail"][0]["msg"]
    assert sentence in response.json()["error"]["message"]


def test_a_model_by_its_name(sdk: openai.OpenAI, client: httpx.Client) -> None:
    [card] = sdk.models.list().data
    assert sdk.models.retrieve(MODEL) == card
    assert sdk.models.retrieve("all-MiniLM-L6-v2") == card
    with pytest.raises(openai.NotFoundError, match=f"gpt-4 is not served here; use {MODEL}"):
        sdk.models.retrieve("gpt-4")
    # Some clients always send a name, and leave out whose model it is.
    assert client.post("/v1/embeddings", json={"input": "a", "model": "all-MiniLM-L6-v2"}).status_code == 200


def test_the_document_says_what_this_instance_takes(client: httpx.Client) -> None:
    served = client.get("/openapi.json").json()
    assert served == document(VERSION, [MODEL, "all-MiniLM-L6-v2"], [64, 128, 384])
    assert served["components"]["schemas"]["EmbeddingRequest"]["properties"]["dimensions"]["anyOf"][0] == {
        "type": "integer",
        "enum": [64, 128, 384],
    }
    for body in ENDPOINTS[0].examples.values():  # type: ignore[union-attr]
        assert client.post("/v1/embeddings", json=body).status_code == 200
