"""The wire: what callers send and what they get back. Field names here are the public contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails, PydanticCustomError

MAX_TEXTS = 100
DEFAULT_MAX_LENGTH = 512
MAX_TEXT_CHARACTERS = 10_000
MAX_REPORTED_PROBLEMS = 100
PLATFORM_FIELDS = frozenset({"stream", "stream_options"})
"""End-to-end-encrypted calls get these two injected into their body by the platform. They change nothing."""


def _clean_text(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        raise PydanticCustomError("blank_text", "is blank; remove it or send some text")
    if len(stripped) > MAX_TEXT_CHARACTERS:
        raise PydanticCustomError(
            "text_too_long",
            "has {length} characters, {limit} are allowed; shorten it or split it",
            {"length": len(stripped), "limit": MAX_TEXT_CHARACTERS},
        )
    if "\0" in stripped:
        raise PydanticCustomError("nul_character", "holds a NUL character (U+0000), which no text has; remove it")
    try:
        stripped.encode()
    except UnicodeEncodeError as error:
        raise PydanticCustomError(
            "lone_surrogate",
            "holds half of a surrogate pair at character {position}, which is not text; send valid Unicode",
            {"position": error.start},
        ) from None
    return stripped


Text = Annotated[
    StrictStr,
    AfterValidator(_clean_text),
    Field(description=f"1 to {MAX_TEXT_CHARACTERS:,} characters, white space around it not counted"),
]
MaxLength = Annotated[int, Field(strict=True, ge=50, le=1024, description="Tokens of a text the model may see")]
ReturnAllScores = Annotated[StrictBool, Field(description="Add every label's probability to each result")]


@dataclass(frozen=True)
class InvalidText:
    """Stands where a text would, had it kept the rules. `problem` lacks the text's place, its sentence's subject."""

    kind: str
    problem: str


Texts = Annotated[list[Text], Field(strict=True, min_length=1, max_length=MAX_TEXTS)]
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
        return [problems.get(index) or _clean_text(value) for index, value in enumerate(values)]


def _is_reporting(info: ValidationInfo) -> bool:
    # Validated before the texts, hence its place in the models; absent if it breaks its own rule.
    return info.data.get("on_invalid_text") == "report"


def _invalid_text(detail: ErrorDetails) -> InvalidText:
    return InvalidText(detail["type"], _problem_of(detail))


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


class RequestBody(BaseModel):
    """What callers send. `example` is a body to imitate, `streamed_at` where the same can be had as a stream."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    example: ClassVar[str]
    streamed_at: ClassVar[str | None] = None


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
        Literal["softmax", "none"] | None, Field(description="softmax gives probabilities, none the model's logits")
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
    scores: dict[str, float] | None = Field(default=None, exclude_if=lambda scores: scores is None)


class Failure(BaseModel):
    """Why there is no answer: the kind of problem, and a sentence that says how to mend it."""

    code: str
    message: str


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


class LatencyPercentiles(BaseModel):
    """Seconds from a request's arrival to its answer, over the most recent requests; null before the first."""

    p50: float | None
    p95: float | None
    p99: float | None


class BatchStats(BaseModel):
    """Answer of `GET /batch-stats`. Counted since the instance started unless said otherwise."""

    total_requests: int = Field(description="Requests answered with results, whole or streamed")
    total_texts_processed: int = Field(description="Texts that got a prediction")
    average_batch_time: float = Field(description="Mean seconds from a request's arrival to its answer")
    peak_batch_size: int = Field(description="Most texts in one request")
    device: str
    model_loaded: bool
    current_gpu_memory: float | None
    max_gpu_memory: float | None
    model: str
    revision: str | None
    precision: str
    uptime: float
    requests_in_flight: int
    queued_texts: int
    texts_per_second: float = Field(description="Over the last minute, or since the start if that is shorter")
    latency: LatencyPercentiles
    forward_passes: int
    mean_texts_per_pass: float
    padding_ratio: float
    truncated_texts: int
    cache_hits: int = Field(description="Texts or windows that cost nothing: equal ones were run or on their way")
    cache_misses: int = Field(description="Texts or windows that had to be run")
    cache_hit_rate: float = Field(description="Hits over both; 0 before the first")
    cache_size: float = Field(description="MiB of answers kept for texts that come again")
    errors: dict[str, int]
    max_batch_tokens: int
    forward: str = Field(description="How passes are computed: `packed`, without padding, or `padded`, by transformers")


class Problem(BaseModel):
    """One thing wrong with a request: where (`loc`), what and how to mend it (`msg`), and its kind (`type`)."""

    loc: list[str | int]
    msg: str
    type: str


class Refusal(BaseModel):
    """Answer with status 400."""

    detail: list[Problem]


class Unavailable(BaseModel):
    """Answer with status 429 or 500: a sentence."""

    detail: str


class RefusalInOneSentence(Refusal):
    """Answer of `POST /text-classification` with status 400; `error` has all problems' sentences."""

    error: str


class UnavailableInOneSentence(Unavailable):
    """Answer of `POST /text-classification` with status 429 or 500."""

    error: str


class InvalidRequest(ValueError):
    """A request breaks the contract; `problems` names every way in which it does."""

    def __init__(self, problems: list[Problem]) -> None:
        if len(problems) > MAX_REPORTED_PROBLEMS:
            msg = f"{len(problems) - MAX_REPORTED_PROBLEMS} more problems are not listed; mend these first"
            problems = [*problems[:MAX_REPORTED_PROBLEMS], Problem(loc=[], msg=msg, type="more_problems")]
        super().__init__("; ".join(problem.msg for problem in problems))
        self.problems = problems


RequestT = TypeVar("RequestT", bound=RequestBody)


def parse_request(model: type[RequestT], body: object, *, streams: bool = False) -> RequestT:
    """Check a decoded JSON body; `streams` says whether the endpoint answers as a stream.

    Raises:
        InvalidRequest: with every problem of the body, each one sentence that names the place and the mend.
    """
    if not isinstance(body, dict) or not body:
        found = f"is {_json_type(body)}" if body else "is missing or empty"
        msg = f"the body {found}; send a JSON object such as {model.example}"
        raise InvalidRequest([Problem(loc=[], msg=msg, type="body_type")])
    known = model.model_fields.keys()
    problems = [_unknown_field(name, model) for name in body if name not in known and name not in PLATFORM_FIELDS]
    if body.get("stream") and not streams:
        # The platform would take the answer for a stream, fail to read it, and count that against the instance.
        elsewhere = (
            f"is for POST {model.streamed_at}; send the request there, or" if model.streamed_at else "is not for this;"
        )
        msg = f"stream {elsewhere} leave stream out"
        problems.append(Problem(loc=["stream"], msg=msg, type="stream_unsupported"))
    request = None
    try:
        request = model.model_validate({name: value for name, value in body.items() if name in known})
    except ValidationError as error:
        problems = [_problem(model, detail) for detail in error.errors(include_url=False)] + problems
    if request is None or problems:
        raise InvalidRequest(problems)
    return request


_MEND = {
    "too_short": "is empty; send at least one text",
    "too_long": "has {actual_length} entries, {max_length} are allowed; split it into several requests",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "extra_forbidden": "is not known here; remove it",
}
_TEXT_PROBLEMS = {"blank_text", "text_too_long", "nul_character", "lone_surrogate", "token_ids"}
_EXPECTED = {
    "string_type": "a string",
    "list_type": "a list of strings",
    "bool_type": "true or false",
    "float_type": "a number",
    "finite_number": "a finite number",
    "model_type": "an object",
    "string_unicode": "valid Unicode",
}


def _problem(model: type[RequestBody], detail: ErrorDetails) -> Problem:
    loc = list(detail["loc"])
    name = shown("".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix("."))
    if detail["type"] == "missing":
        msg = f"{name} is required; send a body such as {model.example}"
    else:
        msg = f"{name} {_problem_of(detail)}"
    return Problem(loc=loc, msg=msg, type=detail["type"])


def _problem_of(detail: ErrorDetails) -> str:
    """The sentence that says what is wrong and how to mend it, without its subject."""
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind in _TEXT_PROBLEMS:
        return detail["msg"]
    if kind == "literal_error":
        found = f"{shown(value)!r}" if isinstance(value, str) else _json_type(value)
        return f"must be {context['expected']}, but is {found}"
    if kind in _MEND:
        return _MEND[kind].format_map(context)
    return f"must be {_EXPECTED.get(kind, 'an integer')}, but is {_json_type(value)}"


def _unknown_field(name: str, model: type[RequestBody]) -> Problem:
    field = shown(name)
    msg = f"{field} is not a known field; remove it or use one of {', '.join(sorted(model.model_fields))}"
    return Problem(loc=[field], msg=msg, type="unknown_field")


def shown(words: str) -> str:
    """What a caller wrote, fit to be told: cut short, and what UTF-8 cannot carry escaped."""
    return words[:80].encode("utf-8", "backslashreplace").decode()


def _json_type(value: object) -> str:
    names: dict[type, str] = {
        str: "a string", bool: "a boolean", int: "an integer", float: "a number", list: "a list", dict: "an object",
    }  # fmt: skip
    return names.get(type(value), "null")
