"""What the servers of other projects have in common: one endpoint that takes a batch, and no statistics."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from batch_client.errors import AccessError, FaultError, InputError, Problem, RequestRefusedError, UnexpectedAnswerError
from batch_client.options import Options
from batch_client.outcomes import Failure, Outcome, Prediction
from batch_client.protocols.base import Ask
from batch_client.refusals import parse_refusal
from batch_client.service_identity import ServiceIdentity
from batch_client.service_stats import ServiceStats

_DEFAULT_MAX_LENGTH = 512
_PROBE = "ok"


class OtherServer(ABC):
    """A server that is asked through `request` and `parse` alone.

    Attributes:
        title: the server's name in messages.
        identity_path: where the server says which model it has.
        takes_max_length: whether a request says how many tokens of a text count.
    """

    name: ClassVar[str]
    path: ClassVar[str]
    title: ClassVar[str]
    max_texts: ClassVar[int] = 100
    identity_path: ClassVar[str | None] = None
    takes_max_length: ClassVar[bool] = False

    def __init__(self, options: Options, ask: Ask) -> None:
        self._options = options
        self._ask = ask

    @classmethod
    def check(cls, options: Options) -> None:
        """See `ServiceProtocol`."""
        if options.max_length != _DEFAULT_MAX_LENGTH and not cls.takes_max_length:
            raise InputError(f"--max-length is not for {cls.title}, which always uses its model's own; leave it out")
        if options.analyses:
            raise InputError(f"--analyses is for batch-processor only; {cls.title} has one model")
        if options.on_long_text != "truncate":
            raise InputError(f"on_long_text {options.on_long_text!r} is for batch-processor only, not for {cls.name}")

    @abstractmethod
    def request(self, texts: Sequence[str]) -> bytes:
        """The JSON that asks for 1 to `max_texts` texts."""

    @abstractmethod
    def parse(self, body: bytes, texts: Sequence[str]) -> list[Prediction]:
        """One prediction per text, in order. Raises FaultError if the body is no answer to these texts."""

    async def classify(self, texts: Sequence[str]) -> list[Outcome]:
        """See `ServiceProtocol`."""
        return list(self.parse(await self._ask("POST", self.path, self.request(texts)), texts))

    async def single(self, text: str) -> Prediction:
        """A batch of one: there is no endpoint for single texts."""
        outcome = (await self.classify([text]))[0]
        if isinstance(outcome, Failure):
            raise FaultError(outcome.reason)
        return outcome

    async def probe(self) -> None:
        """A short text, as there is nothing else that only this kind of server answers."""
        await self.classify([_PROBE])

    async def identity(self) -> ServiceIdentity | None:
        """What `identity_path` says, if the server knows that path."""
        if self.identity_path is None:
            return None
        try:
            document = json.loads(await self._ask("GET", self.identity_path, None))
            return self.identify(document)
        except (RequestRefusedError, UnexpectedAnswerError, AccessError):
            return None
        except (LookupError, TypeError, ValueError, AttributeError):  # JSON of another shape
            return None

    def identify(self, document: Any) -> ServiceIdentity | None:
        """The identity in the JSON of `identity_path`; what it raises for another shape is caught."""
        return None

    async def stats(self) -> ServiceStats:
        """Raise InputError: there are none."""
        raise InputError(f"the protocol {self.name!r} has no statistics to show")

    def problems(self, body: bytes) -> list[Problem]:
        """The server's sentences. Where they point at is a path of its own, never an index into our texts."""
        return [Problem((), problem.msg) for problem in parse_refusal(body)]
