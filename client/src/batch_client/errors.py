"""Everything that the package raises.

    BatchClientError
    ├── InputError                 the input cannot be read as asked
    ├── OutputError                the result cannot be written, or an unfinished run cannot be resumed
    ├── TextsFailedError           `classify` could not get an answer for every text
    └── ServiceError
        ├── RequestRefusedError    400, 413, 422: the request itself is wrong
        ├── AccessError            401, 402, 403: the API key or the account
        ├── UnexpectedAnswerError  any other status, which trying again will not change
        ├── UnavailableError       no answer for longer than the caller's patience
        └── TransientError         worth another attempt
            ├── OverloadedError    429
            ├── ColdError          503: the platform has no instance of the service up yet
            ├── UnreachableError   no connection
            └── FaultError         another 5xx, 408, 425, a time-out, a broken or malformed answer

Every message is one sentence that says what to do, without the passwords that an address in it may hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch_client.outcomes import Outcome


_CREDENTIALS = re.compile(r"://[^/\s]*@")
_QUERY = re.compile(r"(://[^\s?'\"]*)\?[^\s'\"]*[^\s'\",.:;)]")


class BatchClientError(Exception):
    """Base of all errors of this package."""

    def __init__(self, message: str) -> None:
        super().__init__(without_secrets(message))


def without_secrets(text: str) -> str:
    """Text whose addresses have no user, password or query: a query may be a signature, as in presigned addresses."""
    return _QUERY.sub(r"\1", _CREDENTIALS.sub("://", text))


class InputError(BatchClientError):
    """The input cannot be read as asked."""


class OutputError(BatchClientError):
    """The result cannot be written, or an unfinished run cannot be resumed."""


class TextsFailedError(BatchClientError):
    """Some texts got no answer. `failures` maps their index to the reason; `outcomes` holds every text's outcome."""

    def __init__(self, failures: Mapping[int, str], outcomes: Sequence[Outcome]) -> None:
        index, reason = next(iter(failures.items()))
        super().__init__(f"{len(failures)} of {len(outcomes)} texts got no answer; the first is text {index}: {reason}")
        self.failures = failures
        self.outcomes = outcomes


class ServiceError(BatchClientError):
    """The service did not answer with predictions."""


@dataclass(frozen=True)
class Problem:
    """One complaint of the service about a request: where (`loc`, such as `("texts", 3)`) and what."""

    loc: tuple[str | int, ...]
    msg: str


class RequestRefusedError(ServiceError):
    """The service answered 400; `problems` says why, as far as the service said so."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("the service refused the request: " + "; ".join(problem.msg for problem in problems))
        self.problems = problems


class AccessError(ServiceError):
    """The API key is missing, wrong, or its account may not use the service."""


class UnexpectedAnswerError(ServiceError):
    """An answer that trying again will not change, such as 404."""


class UnavailableError(ServiceError):
    """No answer for longer than the caller's patience."""


class TransientError(ServiceError):
    """A failure that another attempt may not meet again."""


class OverloadedError(TransientError):
    """429; `retry_after_s` is how long the service asked to be left alone, if it said so."""

    def __init__(self, message: str, retry_after_s: float | None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ColdError(TransientError):
    """The platform answered for the service: no instance is up yet."""

    def __init__(self, message: str, retry_after_s: float | None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnreachableError(TransientError):
    """No connection to the service. `is_refused` says that its machine is there, and nothing listens at the port."""

    def __init__(self, message: str, is_refused: bool = False) -> None:
        super().__init__(message)
        self.is_refused = is_refused


class FaultError(TransientError):
    """The service failed on this request: 5xx, a time-out, a broken connection or a malformed answer.

    `status` is what it answered, if it answered one; 503 asks for patience.
    """

    def __init__(self, message: str, retry_after_s: float | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.status = status
