"""The wire of the generator: what callers send and what they get back. Field names here are the public contract."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidatorFunctionWrapHandler, WrapValidator

from batch_http.engine_stats import LatencyPercentiles
from batch_http.requests import MAX_TEXT_CHARACTERS, MAX_TEXTS, WHOLE, Failure, RequestBody, Text, too_many_characters

MAX_NEW_TOKENS = 2048
MAX_SEED = 2**53 - 1
"""The largest integer that every JSON library keeps as it is (RFC 8259, section 6)."""


def _as_it_is(value: object, check: ValidatorFunctionWrapHandler) -> object:
    # A text's rules hold, but white space around a prompt means something to a model, and counts.
    check(value)
    if isinstance(value, str) and len(value) > MAX_TEXT_CHARACTERS:
        raise too_many_characters(len(value))
    return value


class GenerateRequest(RequestBody):
    """Body of `POST /generate-batch` and `POST /generate-batch-stream`."""

    example = '{"prompts": ["Name three colours."]}'
    streamed_at = "/generate-batch-stream"

    prompts: Annotated[
        list[Annotated[Text, WrapValidator(_as_it_is)]], Field(strict=True, min_length=1, max_length=MAX_TEXTS)
    ]
    max_new_tokens: Annotated[
        int, Field(strict=True, ge=1, le=MAX_NEW_TOKENS, description="Tokens after which an answer is cut off"), WHOLE
    ] = 128
    temperature: Annotated[
        float,
        Field(strict=True, ge=0, le=2, allow_inf_nan=False, description="0 takes the most probable token always"),
    ] = 0.0
    seed: Annotated[
        int | None,
        Field(strict=True, ge=0, le=MAX_SEED, description="Repeats what was drawn; picked and answered if left out"),
        WHOLE,
    ] = None


class GeneratedText(BaseModel):
    """The answer to one prompt."""

    text: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    processing_order: int


class GenerationInfo(BaseModel):
    """How a batch was run."""

    model: str
    device: str
    precision: str
    max_new_tokens: int
    temperature: float
    seed: int


class GenerationMetrics(BaseModel):
    """What a batch cost. Times in seconds, memory in GiB (null without a GPU)."""

    tokens_per_second: float = Field(description="Of completions, over the processing time")
    gpu_memory_used: float | None
    total_prompt_tokens: int
    total_completion_tokens: int
    queue_time: float


class GenerateResult(BaseModel):
    """Answer of `POST /generate-batch`."""

    results: list[GeneratedText]
    total_prompts: int
    processing_time: float
    generation_info: GenerationInfo
    performance_metrics: GenerationMetrics


class GenerationStarted(BaseModel):
    """First line of a stream."""

    status: Literal["started"] = "started"
    total_prompts: int
    generation_info: GenerationInfo


class TextPart(BaseModel):
    """Comes before a `result` whose text is too long for one line: its text follows this one."""

    status: Literal["text_part"] = "text_part"
    processing_order: int
    text: str


class GenerationFinished(GeneratedText):
    """A prompt's answer, in the order in which they finish."""

    status: Literal["result"] = "result"


class GenerationCompleted(BaseModel):
    """Last line of a stream that went well."""

    status: Literal["completed"] = "completed"
    total_time: float
    total_prompt_tokens: int
    total_completion_tokens: int


class GenerationFailed(BaseModel):
    """Last line of a stream that failed midway."""

    status: Literal["error"] = "error"
    error: Failure
    completed_prompts: int


class GeneratorStats(BaseModel):
    """Answer of the generator's `GET /batch-stats`. Counted since the instance started unless said otherwise."""

    total_requests: int = Field(description="Requests answered with results, whole or streamed")
    total_prompts_processed: int
    total_prompt_tokens: int
    total_completion_tokens: int
    tokens_per_second: float = Field(description="Of completions that finished in the last minute")
    average_batch_time: float = Field(description="Mean seconds from a request's arrival to its answer")
    peak_batch_size: int = Field(description="Most prompts in one request")
    latency: LatencyPercentiles
    requests_in_flight: int
    queued_prompts: int = Field(description="Prompts without a finished answer")
    device: str
    model_loaded: bool
    current_gpu_memory: float | None
    max_gpu_memory: float | None
    model: str
    revision: str | None
    precision: str
    uptime: float
    errors: dict[str, int]
