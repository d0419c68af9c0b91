"""From the engine's vectors to OpenAI's shape."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batch_embedding.settings import EmbedderSettings
from batch_embedding.wire import Embedding, EmbeddingList, EmbeddingRequest, Usage
from batch_http.errors import ErrorReport
from batch_http.model_cards import ModelCard, model_card
from batch_http.requests import InvalidRequest, Problem
from batch_inference.engine import Engine
from batch_inference.outcome import Outcome


def refuse_unserved(request: EmbeddingRequest, engine: Engine, settings: EmbedderSettings) -> None:
    """Check what only this instance knows: which model it has, and to what its vectors may be cut.

    Raises:
        InvalidRequest: with the mend.
    """
    problems = []
    if request.model not in (None, *settings.served_names):
        msg = f"model is not served here; use {settings.served_name}, or leave it out"
        problems.append(Problem(loc=["model"], msg=msg, type="model_not_found"))
    allowed = dimensions_of(engine, settings)
    if request.dimensions is not None and request.dimensions not in allowed:
        msg = f"dimensions must be {' or '.join(map(str, allowed))} with this model, but is {request.dimensions}"
        problems.append(Problem(loc=["dimensions"], msg=msg, type="dimensions_unsupported"))
    if problems:
        raise InvalidRequest(problems)


def embedding_list(request: EmbeddingRequest, outcome: Outcome, settings: EmbedderSettings) -> EmbeddingList:
    """Answer of `/v1/embeddings`."""
    vectors = outcome.answers
    if request.dimensions is not None and request.dimensions < vectors.shape[1]:
        vectors = vectors[:, : request.dimensions]
        # As OpenAI's API does: a cut vector has length one again.
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    as_base64 = request.encoding_format == "base64"
    num_tokens = int(outcome.num_tokens.sum())
    return EmbeddingList(
        data=[
            Embedding(index=index, embedding=_base64(vector) if as_base64 else vector.tolist(), truncated=is_truncated)
            for index, (vector, is_truncated) in enumerate(
                zip(vectors, (outcome.num_dropped > 0).tolist(), strict=True)
            )
        ],
        model=settings.served_name,
        usage=Usage(prompt_tokens=num_tokens, total_tokens=num_tokens),
    )


def embedder_card(engine: Engine, settings: EmbedderSettings) -> ModelCard:
    """The model, as `/v1/models` has it."""
    return model_card(settings, engine.model.max_tokens, dimensions_of(engine, settings))


def dimensions_of(engine: Engine, settings: EmbedderSettings) -> list[int]:
    """The lengths that vectors may have, shortest first."""
    full = engine.model.num_outputs
    return sorted({length for length in settings.allowed_dimensions if length < full} | {full})


def _base64(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def openai_error(report: ErrorReport) -> dict[str, str | None]:
    """What `/v1/embeddings` answers under `error`, in OpenAI's shape: its clients show their users nothing else."""
    kinds = {400: "invalid_request_error", 429: "rate_limit_exceeded"}
    first: dict[str, Any] = report.detail[0] if isinstance(report.detail, list) else {"loc": [], "type": report.kind}
    return {
        "message": report.message,
        "type": kinds.get(report.status, "server_error"),
        "param": str(first["loc"][0]) if first["loc"] else None,
        "code": first["type"],
    }
