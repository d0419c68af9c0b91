"""The classifier's wire: what callers send and what they get back. Field names here are the public contract."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictStr,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from batch_http.invalid_texts import (
    InvalidText,
    OnInvalidText,
    ReportedText,
    ReportedTexts,
    say_when_texts_are_refused,
    text_or_problem,
    texts_or_problems,
)
from batch_http.requests import WHOLE, Failure, RequestBody, shown

DEFAULT_MAX_LENGTH = 512
LONGEST_MAX_LENGTH = 1024


MaxLength = Annotated[
    int, Field(strict=True, ge=50, le=LONGEST_MAX_LENGTH, description="Tokens of a text the model may see"), WHOLE
]
ReturnAllScores = Annotated[StrictBool, Field(description="Add every label's probability to each result")]


OnLongText = Annotated[
    Literal["truncate", "window", "reject"],
    Field(
        description="What becomes of a text of more than `max_length` tokens: the rest is not read (truncate), it is "
        "read in overlapping windows of `max_length` tokens, whose probabilities are averaged (window), or it is "
        "invalid (reject), and `on_invalid_text` applies"
    ),
]


MAX_ANALYSES = 16
KNOWN_ANALYSES = "analyses"
"""In the context of a request's validation: the names that this instance answers to."""


def _known_analysis(name: str, info: ValidationInfo) -> str:
    known = (info.context or {}).get(KNOWN_ANALYSES)
    if known is not None and name not in known:
        raise PydanticCustomError(
            "unknown_analysis",
            "is {name}, which is not served here; use one of {known}",
            {"name": repr(shown(name)), "known": ", ".join(known)},
        )
    return name


def _different_analyses(names: list[str]) -> list[str]:
    if not names:
        raise PydanticCustomError("no_analyses", "is empty; name at least one, or leave the field out")
    for name in names:
        if names.count(name) > 1:
            raise PydanticCustomError(
                "same_analysis", "names {name} more than once; name each once", {"name": repr(name)}
            )
    return names


Analyses = Annotated[
    list[Annotated[StrictStr, AfterValidator(_known_analysis)]],
    Field(
        strict=True,
        max_length=MAX_ANALYSES,
        description="Names of analyses, 1 to 16 different ones of those in /batch-stats: each result has them under "
        "`analyses`. Left out, the texts are analysed for sentiment alone",
        json_schema_extra={"minItems": 1, "uniqueItems": True},
    ),
    AfterValidator(_different_analyses),
]


class _Request(RequestBody):
    model_config = ConfigDict(json_schema_extra=say_when_texts_are_refused)

    streamed_at = "/process-batch-stream"

    max_length: MaxLength = DEFAULT_MAX_LENGTH
    return_all_scores: ReturnAllScores = False
    on_invalid_text: OnInvalidText = "reject"
    on_long_text: OnLongText = "truncate"
    analyses: Analyses | None = None

    @property
    def in_windows(self) -> bool:
        """Whether long texts are read in windows."""
        return self.on_long_text == "window"


class BatchRequest(_Request):
    """Body of `POST /process-batch` and `POST /process-batch-stream`."""

    example = '{"texts": ["I love this!"]}'

    texts: Annotated[list[str | InvalidText], PlainValidator(texts_or_problems, json_schema_input_type=ReportedTexts)]
    batch_size: Annotated[int, Field(strict=True, ge=1, le=32, description="Texts per chunk of a stream"), WHOLE] = 16


class SingleRequest(_Request):
    """Body of `POST /analyze-single`."""

    example = '{"text": "I love this!"}'

    text: Annotated[str | InvalidText, PlainValidator(text_or_problem, json_schema_input_type=ReportedText)]


def _is_none(value: object) -> bool:
    return value is None


_IF_ANY: Any = Field(default=None, exclude_if=_is_none)


class TextResult(BaseModel):
    """The answer for one text, of a request that names no analyses."""

    text: str | None
    sentiment: str
    confidence: float
    token_count: int
    processing_order: int
    truncated: bool
    tokens_dropped: int = Field(description="Tokens that the model did not see; 0 unless truncated")
    windows: int | None = Field(
        default=None,
        exclude_if=_is_none,
        description="Windows that the text was read in, if they were asked for",
    )
    labels: list[str] | None = Field(
        default=None,
        exclude_if=_is_none,
        description="Those of a model with many labels at once that hold, at 0.5 or more; best first, may be empty",
    )
    scores: dict[str, float] | None = _IF_ANY


class AnalysisResult(BaseModel):
    """What one analysis says of a text."""

    label: str
    confidence: float
    token_count: int
    truncated: bool
    tokens_dropped: int
    windows: int | None = _IF_ANY
    labels: list[str] | None = _IF_ANY
    scores: dict[str, float] | None = _IF_ANY


class AnalysedText(BaseModel):
    """The answer for one text, of a request that names `analyses`.

    `sentiment`, `confidence` and `scores` are there if sentiment is one of them; token counts are the first one's.
    """

    text: str | None
    processing_order: int
    sentiment: str | None = _IF_ANY
    confidence: float | None = _IF_ANY
    scores: dict[str, float] | None = _IF_ANY
    token_count: int
    truncated: bool
    tokens_dropped: int
    windows: int | None = _IF_ANY
    analyses: dict[str, AnalysisResult] | None


class FailedText(BaseModel):
    """Stands in place of a text's result, with `"on_invalid_text": "report"`, if the text broke a rule."""

    processing_order: int
    error: Failure


Result = TextResult | AnalysedText | FailedText


class SingleResult(TextResult):
    """Answer of `POST /analyze-single`."""

    processing_time: float


class AnalysedSingle(AnalysedText):
    """Answer of `POST /analyze-single` to a request that names `analyses`."""

    processing_time: float


class FailedSingle(FailedText):
    """Answer of `POST /analyze-single` in place of a result."""

    processing_time: float


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
    analyses_omitted: bool = Field(
        default=False,
        exclude_if=lambda omitted: not omitted,
        description="Nor would it have room for `analyses`, which are null in its results: those of `completed` are in "
        "the lines before it",
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
