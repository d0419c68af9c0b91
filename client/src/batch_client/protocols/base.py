"""What a protocol is, and what several of them share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from batch_client.errors import FaultError, InputError
from batch_client.outcomes import Outcome, Prediction

if TYPE_CHECKING:
    from batch_client.options import Options

AnswerT = TypeVar("AnswerT")
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

DEFAULT_MAX_LENGTH = 512


class ServiceProtocol(Protocol):
    """One server's wire format. What it cannot tell about a text is None in the prediction.

    Attributes:
        name: what `--protocol` calls it.
        path: where texts are sent, behind the service's address.
        max_texts: texts that one request may hold, unless the server says otherwise.
        is_own: whether this is the service of this project, with `/analyze-single` and `/batch-stats`.
    """

    name: ClassVar[str]
    path: ClassVar[str]
    max_texts: ClassVar[int]
    is_own: ClassVar[bool]

    def check(self, options: Options) -> None:
        """Raise InputError for an option that this protocol cannot carry."""
        ...

    def request(self, texts: Sequence[str], options: Options) -> bytes:
        """The JSON that asks for 1 to `max_texts` texts."""
        ...

    def parse(self, body: bytes, texts: Sequence[str], options: Options) -> Sequence[Outcome]:
        """One outcome per text, in order. Raises FaultError if the body is no answer to these texts."""
        ...


class LabelScore(TypedDict):
    """A label, and its probability."""

    label: Annotated[str, Field(min_length=1)]
    score: Probability


def as_json(document: object) -> bytes:
    """A request's body."""
    return json.dumps(document, ensure_ascii=False).encode()


def parsed(answer: TypeAdapter[AnswerT], body: bytes) -> AnswerT:
    """The answer in `body`. Raises FaultError, which says what is malformed."""
    try:
        return answer.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FaultError(f"the service's answer is malformed: {place}: {first['msg']}".replace(" : ", " ")) from error


def check_count(num_answers: int, num_texts: int) -> None:
    """Raise FaultError unless every text has one answer."""
    if num_answers != num_texts:
        raise FaultError(f"the service answered {num_answers} results for {num_texts} texts")


def prediction_of(scores: Sequence[LabelScore], all_scores: bool) -> Prediction:
    """The prediction behind a text's labels, in whatever order they come. Labels are upper case, as the service's own.

    Raises:
        FaultError: there is no label.
    """
    if not scores:
        raise FaultError("the service named no label for a text")
    best = max(scores, key=lambda each: each["score"])
    # In the order of the names: the order of the scores is another for each text, and a result's columns are not.
    by_label = dict(sorted((each["label"].upper(), each["score"]) for each in scores))
    return Prediction(best["label"].upper(), best["score"], None, None, by_label if all_scores else None)


def refuse_max_length(options: Options, server: str) -> None:
    """Raise InputError if another `max_length` than the default is asked of a server that takes none."""
    if options.max_length != DEFAULT_MAX_LENGTH:
        raise InputError(f"--max-length is not for {server}, which always uses its model's own; leave it out")
