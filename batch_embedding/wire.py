"""The wire of the embedder, in the shape of OpenAI's embeddings API. Field names here are the public contract."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, StrictStr
from pydantic_core import PydanticCustomError

from batch_http.requests import WHOLE, Refusal, RequestBody, Text, Unavailable

MAX_INPUTS = 2048
"""As many as OpenAI's API takes."""


def _as_list(value: object) -> object:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value and all(_is_token_ids(entry) for entry in value):
        raise PydanticCustomError(
            "token_ids",
            "holds token ids of another model's tokenizer; send text. LangChain's OpenAIEmbeddings does with "
            "check_embedding_ctx_length=False",
        )
    return value


def _is_token_ids(entry: object) -> bool:
    is_id = isinstance(entry, int) and not isinstance(entry, bool)
    return is_id or (isinstance(entry, list) and all(isinstance(part, int) for part in entry))


_Texts = Annotated[list[Text], Field(strict=True, min_length=1, max_length=MAX_INPUTS)]


class EmbeddingRequest(RequestBody):
    """Body of `POST /v1/embeddings`."""

    example = '{"input": ["I love this!"]}'

    input: Annotated[
        _Texts,
        BeforeValidator(_as_list, json_schema_input_type=Text | _Texts),
    ]
    model: Annotated[StrictStr | None, Field(description="As in GET /v1/models; may be left out")] = None
    encoding_format: Annotated[Literal["float", "base64"], Field(description="base64 is of little-endian float32")] = (
        "float"
    )
    dimensions: Annotated[
        int | None, Field(strict=True, ge=1, description="Where the model was trained to be cut: see /v1/models"), WHOLE
    ] = None
    user: Annotated[StrictStr | None, Field(description="Ignored")] = None


class Embedding(BaseModel):
    """One text's vector; `truncated` is there if the model did not see the whole text."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str
    truncated: bool = Field(default=False, exclude_if=lambda truncated: not truncated)


class Usage(BaseModel):
    """Tokens that the model saw, special tokens included."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """Answer of `POST /v1/embeddings`."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class OpenAIError(BaseModel):
    """What OpenAI's clients show of an answer that is none."""

    message: str
    type: Literal["invalid_request_error", "rate_limit_exceeded", "server_error"]
    param: str | None
    code: str


class EmbeddingRefusal(Refusal):
    """Answer of `POST /v1/embeddings` with status 400."""

    error: OpenAIError


class EmbeddingUnavailable(Unavailable):
    """Answer of `POST /v1/embeddings` with status 429 or 500."""

    error: OpenAIError
