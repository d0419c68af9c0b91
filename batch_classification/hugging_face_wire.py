"""The wire of `POST /text-classification`, in the shape of Hugging Face's clients."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StrictBool
from pydantic_core import PydanticCustomError

from batch_http.requests import WHOLE, Refusal, RequestBody, Text, Texts, Unavailable
from schemas import DEFAULT_MAX_LENGTH


def _as_list(inputs: object) -> object:
    return [inputs] if isinstance(inputs, str) else inputs


def _check_truncation(truncation: bool | None) -> bool | None:
    if truncation is False:
        msg = f"must be true: a text is read up to {DEFAULT_MAX_LENGTH} tokens; /process-batch has on_long_text"
        raise PydanticCustomError("truncation_unsupported", msg)
    return truncation


class TextClassificationParameters(RequestBody):
    """How `POST /text-classification` scores labels, and how many it names."""

    top_k: Annotated[
        int | None, Field(strict=True, ge=1, description="How many labels to name, best first; all if left out"), WHOLE
    ] = None
    function_to_apply: Annotated[
        Literal["softmax", "sigmoid", "none"] | None,
        Field(description="none gives the model's logits; what its configuration says if left out"),
    ] = None
    truncation: Annotated[
        StrictBool | None,
        AfterValidator(_check_truncation),
        Field(description="Long texts are always truncated", json_schema_extra={"not": {"const": False}}),
    ] = None


class TextClassificationOptions(RequestBody):
    """What Hugging Face's inference API takes besides. Neither changes an answer."""

    use_cache: Annotated[StrictBool | None, Field(description="Ignored: equal texts have equal answers")] = None
    wait_for_model: Annotated[StrictBool | None, Field(description="Ignored: the model is loaded")] = None


class TextClassificationRequest(RequestBody):
    """Body of `POST /text-classification`, in the shape of Hugging Face's clients."""

    example = '{"inputs": "I love this!"}'
    streamed_at = "/process-batch-stream"

    inputs: Annotated[
        Texts,
        BeforeValidator(_as_list, json_schema_input_type=Text | Texts),
    ]
    parameters: TextClassificationParameters | None = None
    options: TextClassificationOptions | None = None


class LabelScore(BaseModel):
    """A label and how well it fits. `POST /text-classification` answers a list of them per text, best first."""

    label: str
    score: float


class RefusalInOneSentence(Refusal):
    """Answer of `POST /text-classification` with status 400; `error` has all problems' sentences."""

    error: str


class UnavailableInOneSentence(Unavailable):
    """Answer of `POST /text-classification` with status 429 or 500."""

    error: str
