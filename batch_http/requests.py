"""What every chute checks of a request, and how it says what is wrong: one sentence for each problem."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

MAX_TEXTS = 100
MAX_TEXT_CHARACTERS = 10_000
MAX_REPORTED_PROBLEMS = 100
PLATFORM_FIELDS = frozenset({"stream", "stream_options"})
"""End-to-end-encrypted calls get these two injected into their body by the platform. They change nothing."""


def _without_fraction(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_without_fraction)
"""For integers: some clients write 16.0 for 16, which JSON Schema calls an integer."""


def clean_text(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        raise PydanticCustomError("blank_text", "is blank; remove it or send some text")
    if len(stripped) > MAX_TEXT_CHARACTERS:
        raise too_many_characters(len(stripped))
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


def clean_texts(texts: object, clean_each: ValidatorFunctionWrapHandler) -> Any:
    """Clean the texts of a list together, in a fifth of the time. Only what is not all clean goes through
    `clean_each`, which says what is wrong where. Each rule of `clean_text` has its twin here."""
    if not isinstance(texts, list) or not 0 < len(texts) <= MAX_TEXTS:
        return clean_each(texts)
    try:
        stripped = list(map(str.strip, texts))
        joined = "".join(stripped)
        joined.encode()
    except (TypeError, UnicodeEncodeError):
        return clean_each(texts)
    if not all(stripped) or max(map(len, stripped)) > MAX_TEXT_CHARACTERS or "\0" in joined:
        return clean_each(texts)
    return stripped


def too_many_characters(length: int) -> PydanticCustomError:
    """The error of a text with so many characters."""
    return PydanticCustomError(
        "text_too_long",
        "has {length} characters, {limit} are allowed; shorten it or split it",
        {"length": length, "limit": MAX_TEXT_CHARACTERS},
    )


_WHITE_SPACE = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What `str.strip` removes. Other languages' `\\s` has a character more or less."""

TEXT_RULE: dict[str, Any] = {
    "minLength": 1,
    "maxLength": MAX_TEXT_CHARACTERS,
    "pattern": rf"^[^\x00]*[^\x00{_WHITE_SPACE}][^\x00]*$",
}
"""What JSON Schema can say of a text: it is neither blank nor too long, and holds no NUL character."""

TEXT_DESCRIPTION = f"1 to {MAX_TEXT_CHARACTERS:,} characters, white space around it not counted"
Text = Annotated[
    StrictStr,
    AfterValidator(clean_text),
    Field(description=TEXT_DESCRIPTION, json_schema_extra=TEXT_RULE),
]
Texts = Annotated[list[Text], Field(strict=True, min_length=1, max_length=MAX_TEXTS), WrapValidator(clean_texts)]


def allow_null(schema: dict[str, Any]) -> None:
    """Say in the schema of a body that null stands for an optional field that was left out."""
    for name, field in schema["properties"].items():
        kinds = field.get("anyOf", [])
        if name not in schema.get("required", ()) and {"type": "null"} not in kinds:
            about = {key: field[key] for key in ("default", "description", "title") if key in field}
            rule = {key: value for key, value in field.items() if key not in about}
            schema["properties"][name] = {"anyOf": [*(kinds or [rule]), {"type": "null"}], **about}


class RequestBody(BaseModel):
    """What callers send. `example` is a body to imitate, `streamed_at` where the same can be had as a stream."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=allow_null)

    example: ClassVar[str]
    streamed_at: ClassVar[str | None] = None


class Failure(BaseModel):
    """Why there is no answer: the kind of problem, and a sentence that says how to correct it."""

    code: str
    message: str


class Problem(BaseModel):
    """One thing wrong with a request: where (`loc`), what and how to correct it (`msg`), and its kind (`type`)."""

    loc: list[str | int]
    msg: str
    type: str


class Refusal(BaseModel):
    """Answer with status 400."""

    detail: list[Problem]


class Unavailable(BaseModel):
    """Answer with status 429 or 500: a sentence."""

    detail: str


class InvalidRequest(ValueError):
    """A request breaks the contract; `problems` names every way in which it does."""

    def __init__(self, problems: list[Problem]) -> None:
        if len(problems) > MAX_REPORTED_PROBLEMS:
            msg = f"{len(problems) - MAX_REPORTED_PROBLEMS} more problems are not listed; mend these first"
            problems = [*problems[:MAX_REPORTED_PROBLEMS], Problem(loc=[], msg=msg, type="more_problems")]
        super().__init__("; ".join(problem.msg for problem in problems))
        self.problems = problems


RequestT = TypeVar("RequestT", bound=RequestBody)


def parse_request(
    model: type[RequestT], body: object, *, streams: bool = False, context: dict[str, Any] | None = None
) -> RequestT:
    """Check a decoded JSON body.

    Args:
        model: what it must be.
        body: the body.
        streams: whether the endpoint answers as a stream.
        context: what only this instance knows, for the model's validators.

    Raises:
        InvalidRequest: with every problem of the body, each one sentence that names the field and the correction.
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
        request = model.model_validate(
            {name: value for name, value in body.items() if name in known and not _is_left_out(model, name, value)},
            context=context,
        )
    except ValidationError as error:
        problems = [_problem(model, detail) for detail in error.errors(include_url=False)] + problems
    if request is None or problems:
        raise InvalidRequest(problems)
    return request


def _is_left_out(model: type[RequestBody], name: str, value: object) -> bool:
    """Some clients write null for every option that they were not given."""
    return value is None and not model.model_fields[name].is_required()


_CORRECTIONS = {
    "too_short": "is empty; send at least one text",
    "too_long": "has {actual_length} entries, {max_length} are allowed; split it into several requests",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "extra_forbidden": "is not known here; remove it",
}
_OWN_SENTENCES = {
    *("blank_text", "text_too_long", "nul_character", "lone_surrogate", "token_ids"),
    *("no_analyses", "unknown_analysis", "same_analysis", "truncation_unsupported"),
}
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
        msg = f"{name} {problem_of(detail)}"
    return Problem(loc=loc, msg=msg, type=detail["type"])


def problem_of(detail: ErrorDetails) -> str:
    """The sentence that says what is wrong and how to correct it, without its subject."""
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind in _OWN_SENTENCES:
        return detail["msg"]
    if kind == "literal_error":
        found = f"{shown(value)!r}" if isinstance(value, str) else _json_type(value)
        return f"must be {context['expected']}, but is {found}"
    if kind in _CORRECTIONS:
        return _CORRECTIONS[kind].format_map(context)
    return f"must be {_EXPECTED.get(kind, 'an integer')}, but is {_json_type(value)}"


def _unknown_field(name: str, model: type[RequestBody]) -> Problem:
    field = shown(name)
    msg = f"{field} is not a known field; remove it or use one of {', '.join(sorted(model.model_fields))}"
    return Problem(loc=[field], msg=msg, type="unknown_field")


def shown(words: str) -> str:
    """What a caller wrote, fit to be shown: cut short, and what UTF-8 cannot carry escaped."""
    return words[:80].encode("utf-8", "backslashreplace").decode()


def _json_type(value: object) -> str:
    names: dict[type, str] = {
        str: "a string", bool: "a boolean", int: "an integer", float: "a number", list: "a list", dict: "an object",
    }  # fmt: skip
    return names.get(type(value), "null")
