"""What a protocol is, and the parts of wire formats that several of them share."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, ClassVar, Protocol, TypeAlias, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from batch_client.errors import FaultError, Problem
from batch_client.options import Options
from batch_client.outcomes import Outcome, Prediction
from batch_client.service_identity import ServiceIdentity
from batch_client.service_stats import ServiceStats

AnswerT = TypeVar("AnswerT")
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Ask: TypeAlias = Callable[[str, str, bytes | None], Awaitable[bytes]]
"""Sends one request (method, path, body) and returns the body of the answer. Raises ServiceError."""


class ServiceProtocol(Protocol):
    """How one kind of server is asked, for one client. What a server does not say about a text is None.

    Attributes:
        name: what `--protocol` calls it.
        path: where texts are sent, behind the service's address.
        max_texts: texts that one request may hold, unless the server says otherwise.
    """

    name: ClassVar[str]
    path: ClassVar[str]
    max_texts: ClassVar[int]

    def __init__(self, options: Options, ask: Ask) -> None: ...

    @classmethod
    def check(cls, options: Options) -> None:
        """Raise InputError for an option that this protocol cannot carry."""

    async def classify(self, texts: Sequence[str]) -> list[Outcome]:
        """One outcome for each of 1 to `max_texts` texts, in order.

        Raises:
            FaultError: the answer is not one to these texts.
            ServiceError: as `Ask` does.
        """
        ...

    async def single(self, text: str) -> Prediction:
        """The prediction for one text, through an endpoint for single texts if there is one. Raises ServiceError."""
        ...

    async def probe(self) -> None:
        """Ask for the least that shows whether this kind of server answers. Raises ServiceError if it does not."""
        ...

    async def identity(self) -> ServiceIdentity | None:
        """What the server says that it is, as far as that changes its answers. None if it does not say."""
        ...

    async def stats(self) -> ServiceStats:
        """The server's own counters. Raises InputError if it has none."""
        ...

    def problems(self, body: bytes) -> list[Problem]:
        """What a refused request's answer says; `loc` only where it is an index into the request's texts."""
        ...


class LabelScore(TypedDict):
    """A label, and its probability."""

    label: Annotated[str, Field(min_length=1)]
    score: Probability


def as_json(document: object) -> bytes:
    """A request's body."""
    return json.dumps(document, ensure_ascii=False).encode()


def parsed(kind: TypeAdapter[AnswerT], body: bytes, subject: str = "answer is") -> AnswerT:
    """The answer in `body`. Raises FaultError, which says what is malformed."""
    try:
        return kind.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise FaultError(f"the service's {subject} malformed: {f'{path}: ' if path else ''}{first['msg']}") from error


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
