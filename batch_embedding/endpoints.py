"""What `batch_embedder.py` serves, described for people and for generators of clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from batch_embedding.answers import openai_error
from batch_embedding.wire import EmbeddingList, EmbeddingRefusal, EmbeddingRequest, EmbeddingUnavailable
from batch_http.model_cards import ModelList
from batch_http.openapi import Answer, Endpoint, error_answers, openapi_document, stats_endpoint

DESCRIPTION: Final = (
    "OpenAI's embeddings API for 1 to 2,048 texts per request. Through the platform, the problems of a 400 arrive as "
    "text inside `detail`, and a 429 has the platform's words."
)

ENDPOINTS: Final = [
    Endpoint(
        "post",
        "/v1/embeddings",
        "create_embeddings",
        "Embed 1 to 2,048 texts",
        "Vectors in input order. `model` and `dimensions` may be left out; `GET /v1/models` has what they may be.",
        request=EmbeddingRequest,
        examples={
            "a text": {"input": "I love this!"},
            "several": {"input": ["I love this!", "What a waste of money."], "encoding_format": "base64"},
        },
        answers={
            200: Answer(
                "Every text's vector",
                [EmbeddingList],
                {
                    "object": "list",
                    "data": [{"object": "embedding", "index": 0, "embedding": [0.0213, -0.0871, 0.0442]}],
                    "model": "sentence-transformers/all-MiniLM-L6-v2",
                    "usage": {"prompt_tokens": 6, "total_tokens": 6},
                },
            ),
            **error_answers(
                {"loc": ["input", 0], "msg": "input[0] is blank; remove it or send some text", "type": "blank_text"},
                EmbeddingRefusal,
                EmbeddingUnavailable,
                openai_error,
            ),
        },
    ),
    Endpoint(
        "get",
        "/v1/models",
        "list_models",
        "The model that is served",
        "A list of one. `make run` has `GET /v1/models/ID`, too.",
        answers={200: Answer("The model", [ModelList])},
    ),
    stats_endpoint(),
]


def document(version: str, models: Sequence[str] = (), dimensions: Sequence[int] = ()) -> dict[str, Any]:
    """The embedder's OpenAPI document.

    Args:
        models: names that an instance takes for its model; empty for the document of any instance.
        dimensions: likewise, lengths of its vectors.
    """
    described = openapi_document("batch-embedder", version, DESCRIPTION, ENDPOINTS)
    fields = described["components"]["schemas"][EmbeddingRequest.__name__]["properties"]
    for name, allowed in ("model", models), ("dimensions", dimensions):
        if allowed:
            rule, null = fields[name]["anyOf"]
            fields[name]["anyOf"] = [{"type": rule["type"], "enum": list(allowed)}, null]
    return described
