"""The classifier's wire: what callers send and what they get back. Field names here are the public contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PlainValidator,
    StrictBool,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails

from batch_http.requests import Failure, Refusal, RequestBody, Text, Texts, Unavailable, clean_text, problem_of

DEFAULT_MAX_LENGTH = 512


MaxLength = Annotated[int, Field(strict=True, ge=50, le=1024, description="Tokens of a text the model may see")]
ReturnAllScores = Annotated[StrictBool, Field(description="Add every label's probability to each result")]


@dataclass(frozen=True)
class InvalidText:
    """Stands where a text would, had it kept the rules. `problem` lacks the text's place, its sentence's subject."""

    kind: str
    problem: str


_TEXT: TypeAdapter[str] = TypeAdapter(Text)
_TEXTS: TypeAdapter[list[str]] = TypeAdapter(Texts)


def _text_or_problem(value: object, info: ValidationInfo) -> str | InvalidText:
    """Check a text; if problems of texts are to be reported, one takes the text's place."""
    try:
        return _TEXT.validate_python(value)
    except ValidationError as error:
        if not _is_reporting(info):
            raise
        return _invalid_text(error.errors(include_url=False)[0])


def _texts_or_problems(values: list[str], info: ValidationInfo) -> list[str] | list[str | InvalidText]:
    """The same for a list of texts. What is wrong with the list itself is never reported in place of a text."""
    try:
        return _TEXTS.validate_python(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
        if not _is_reporting(info) or not all(detail["loc"] for detail in details):
            raise
        problems = {detail["loc"][0]: _invalid_text(detail) for detail in details}
        return [problems.get(index) or clean_text(value) for index, value in enumerate(values)]


def _is_reporting(info: ValidationInfo) -> bool:
    # Validated before the texts, hence its place in the models; absent if it breaks its own rule.
    return info.data.get("on_invalid_text") == "report"


def _invalid_text(detail: ErrorDetails) -> InvalidText:
    return InvalidText(detail["type"], problem_of(detail))


OnInvalidText = Annotated[
    Literal["reject", "report"],
    Field(
        description="What becomes of a text that breaks a rule: the request is refused (reject), or the text gets an "
        "error in place of its result, and the others are answered (report)"
    ),
]


OnLongText = Annotated[
    Literal["truncate", "window", "reject"],
    Field(
        description="What becomes of a text of more than `max_length` tokens: the rest is not read (truncate), it is "
        "read in overlapping windows of `max_length` tokens, whose probabilities are averaged (window), or it is "
        "invalid (reject), and `on_invalid_text` applies"
    ),
]


class _Request(RequestBody):
    streamed_at = "/process-batch-stream"

    max_length: MaxLength = DEFAULT_MAX_LENGTH
    return_all_scores: ReturnAllScores = False
    on_invalid_text: OnInvalidText = "reject"
    on_long_text: OnLongText = "truncate"

    @property
    def in_windows(self) -> bool:
        """Whether long texts are read in windows."""
        return self.on_long_text == "window"


class BatchRequest(_Request):
    """Body of `POST /process-batch` and `POST /process-batch-stream`."""

    example = '{"texts": ["I love this!"]}'

    texts: Annotated[list[str | InvalidText], PlainValidator(_texts_or_problems, json_schema_input_type=Texts)]
    batch_size: Annotated[int, Field(strict=True, ge=1, le=32, description="Texts per chunk of stream progress")] = 16


class SingleRequest(_Request):
    """Body of `POST /analyze-single`."""

    example = '{"text": "I love this!"}'

    text: Annotated[str | InvalidText, PlainValidator(_text_or_problem, json_schema_input_type=Text)]


def _as_list(inputs: object) -> object:
    return [inputs] if isinstance(inputs, str) else inputs


class TextClassificationParameters(RequestBody):
    """How `POST /text-classification` scores labels, and how many it names."""

    top_k: Annotated[
        int | None, Field(strict=True, ge=1, description="How many labels to name, best first; all if left out")
    ] = None
    function_to_apply: Annotated[
        Literal["softmax", "sigmoid", "none"] | None,
        Field(description="none gives the model's logits; what its configuration says if left out"),
    ] = None


class TextClassificationRequest(RequestBody):
    """Body of `POST /text-classification`, in the shape of Hugging Face's clients."""

    example = '{"inputs": "I love this!"}'
    streamed_at = "/process-batch-stream"

    inputs: Annotated[
        Texts,
        BeforeValidator(_as_list, json_schema_input_type=Text | Texts),
    ]
    parameters: TextClassificationParameters | None = None


class TextResult(BaseModel):
    """The answer for one text."""

    text: str | None
    sentiment: str
    confidence: float
    token_count: int
    processing_order: int
    truncated: bool
    tokens_dropped: int = Field(description="Tokens that the model did not see; 0 unless truncated")
    windows: int | None = Field(
        default=None,
        exclude_if=lambda windows: windows is None,
        description="Windows that the text was read in, if they were asked for",
    )
    labels: list[str] | None = Field(
        default=None,
        exclude_if=lambda labels: labels is None,
        description="Those of a model with many labels at once that hold, at 0.5 or more; best first, may be empty",
    )
    scores: dict[str, float] | None = Field(default=None, exclude_if=lambda scores: scores is None)


class FailedText(BaseModel):
    """Stands in place of a text's result, with `"on_invalid_text": "report"`, if the text broke a rule."""

    processing_order: int
    error: Failure


Result = TextResult | FailedText


class SingleResult(TextResult):
    """Answer of `POST /analyze-single`."""

    processing_time: float


class FailedSingle(FailedText):
    """Answer of `POST /analyze-single` in place of a result."""

    processing_time: float


class LabelScore(BaseModel):
    """A label and how well it fits. `POST /text-classification` answers a list of them per text, best first."""

    label: str
    score: float


class BatchInfo(BaseModel):
    """How a batch was run."""

    requested_batch_size: int
    actual_batches_used: int
    max_length: int
    device: str
    model: str
    precision: str


class PerformanceMetrics(BaseModel):
    """What a batch cost. Times in seconds, memory in GiB (null without a GPU)."""

    texts_per_second: float
    gpu_memory_used: float | None
    total_tokens_processed: int
    queue_time: float
    inference_time: float
    padding_ratio: float


class BatchResult(BaseModel):
    """Answer of `POST /process-batch`."""

    results: list[Result]
    total_texts: int
    processing_time: float
    average_time_per_text: float
    batch_info: BatchInfo
    performance_metrics: PerformanceMetrics


class StartedEvent(BaseModel):
    """First line of a stream."""

    status: Literal["started"] = "started"
    total_texts: int
    batch_size: int
    estimated_batches: int


class ProcessingBatchEvent(BaseModel):
    """A chunk is being worked on; `progress` is the share of texts done once it is complete."""

    status: Literal["processing_batch"] = "processing_batch"
    batch_number: int
    batch_size: int
    progress: float


class _EventWithResults(BaseModel):
    texts_omitted: bool = Field(default=False, exclude_if=lambda omitted: not omitted)
    scores_omitted: bool = Field(
        default=False,
        exclude_if=lambda omitted: not omitted,
        description="The line would still be too long: its results lack `scores`, and have null for `labels`",
    )


class BatchCompleteEvent(_EventWithResults):
    """A chunk is done."""

    status: Literal["batch_complete"] = "batch_complete"
    batch_number: int
    batch_time: float
    texts_per_second: float
    partial_results: list[Result]


class CompletedEvent(_EventWithResults):
    """Last line of a stream that went well."""

    status: Literal["completed"] = "completed"
    total_time: float
    average_time_per_text: float
    final_results: list[Result]


class ErrorEvent(BaseModel):
    """Last line of a stream that failed midway."""

    status: Literal["error"] = "error"
    error: Failure
    completed_texts: int


StreamEvent = StartedEvent | ProcessingBatchEvent | BatchCompleteEvent | CompletedEvent | ErrorEvent


class RefusalInOneSentence(Refusal):
    """Answer of `POST /text-classification` with status 400; `error` has all problems' sentences."""

    error: str


class UnavailableInOneSentence(Unavailable):
    """Answer of `POST /text-classification` with status 429 or 500."""

    error: str
