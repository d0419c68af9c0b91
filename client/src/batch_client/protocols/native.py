"""batch-processor's own wire format: `/process-batch`, `/analyze-single` and `/batch-stats`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from batch_client.errors import FaultError, Problem, RequestRefusedError, UnexpectedAnswerError
from batch_client.options import Options
from batch_client.outcomes import Analysis, Failure, Outcome, Prediction, prediction_from
from batch_client.protocols.base import Ask, Probability, as_json, check_count, parsed
from batch_client.refusals import parse_refusal
from batch_client.service_identity import ServiceIdentity, identity_from
from batch_client.service_stats import ServiceStats

_REPORTS_FIELD = "on_invalid_text"
"""Asks for an error in the result of a bad text; a service that does not know the field refuses it by this name."""

_IDENTIFYING = ("revision", "precision", "text_preparation", "window_stride", "labels")
"""Besides the model, what changes answers. Not the device or the kind of pass: these agree to four decimals."""


class _Error(BaseModel):
    code: str
    message: str


class _Analysis(BaseModel):
    model_config = ConfigDict(strict=True)

    label: Annotated[str, Field(min_length=1)]
    confidence: Probability
    token_count: Annotated[int, Field(ge=0)]
    truncated: bool
    tokens_dropped: int | None = None
    windows: int | None = None
    labels: list[str] | None = None
    scores: dict[str, Probability] | None = None


class _Result(BaseModel):
    model_config = ConfigDict(strict=True)

    processing_order: int
    error: _Error | None = None
    text: str | None = None
    sentiment: str = ""
    confidence: Probability | None = None
    token_count: Annotated[int, Field(ge=0)] | None = None
    truncated: bool | None = None
    scores: dict[str, Probability] | None = None
    tokens_dropped: int | None = None
    windows: int | None = None
    analyses: dict[str, _Analysis] | None = None


class _BatchAnswer(BaseModel):
    results: list[_Result]


_BATCH, _SINGLE, _STATS = TypeAdapter(_BatchAnswer), TypeAdapter(_Result), TypeAdapter(ServiceStats)


class Native:
    """The protocol of this project's service."""

    name: ClassVar[str] = "batch-processor"
    path: ClassVar[str] = "/process-batch"
    max_texts: ClassVar[int] = 100

    def __init__(self, options: Options, ask: Ask) -> None:
        self._ask = ask
        self._options = options
        self._asks_for_reports = options.reports
        self._parameters: dict[str, object] = {
            "max_length": options.max_length,
            "return_all_scores": options.all_scores,
        }
        # The default is left out: a service that does not know the field refuses it.
        if options.on_long_text != "truncate":
            self._parameters["on_long_text"] = options.on_long_text
        if options.analyses:
            self._parameters["analyses"] = list(options.analyses)

    @classmethod
    def check(cls, options: Options) -> None:
        """Every option is for this protocol."""

    async def classify(self, texts: Sequence[str]) -> list[Outcome]:
        """See `ServiceProtocol`."""
        request = {"texts": list(texts), **self._parameters}
        if self._asks_for_reports:
            request[_REPORTS_FIELD] = "report"
        try:
            body = await self._ask("POST", self.path, as_json(request))
        except RequestRefusedError as refusal:
            if not any(problem.loc[:1] == (_REPORTS_FIELD,) for problem in refusal.problems):
                raise
            # An older service, which refuses a field that it does not know.
            self._asks_for_reports = False
            return await self.classify(texts)
        return parse_batch_answer(body, texts, self._options.all_scores, self._options.analyses)

    async def single(self, text: str) -> Prediction:
        """The answer of `/analyze-single`."""
        body = await self._ask("POST", "/analyze-single", as_json({"text": text, **self._parameters}))
        outcome = _outcome(parsed(_SINGLE, body), text, 0, self._options.all_scores, self._options.analyses)
        if isinstance(outcome, Failure):
            raise FaultError(f"the service answered an error: {outcome.reason}")
        return outcome

    async def probe(self) -> None:
        """The statistics: they cost the service nothing, and no other server has them."""
        body = await self._ask("GET", "/batch-stats", None)
        try:
            _parse_stats(body)
        except FaultError as fault:
            if not _is_json(body):
                raise
            raise UnexpectedAnswerError(f"{fault}; is this a batch-processor address?") from fault

    async def identity(self) -> ServiceIdentity | None:
        """What `/batch-stats` says of what is asked for; older services do not name all of it."""
        stats = await self.stats()
        if not self._options.analyses:
            return identity_from(model=stats.model, **{name: getattr(stats, name, None) for name in _IDENTIFYING})
        served = getattr(stats, "analyses", None) or {}
        facts = {
            f"{name} {fact}": served[name].get(fact)
            for name in self._options.analyses
            for fact in ("model", *_IDENTIFYING)
            if isinstance(served.get(name), dict)
        }
        return identity_from(**facts, window_stride=getattr(stats, "window_stride", None))

    async def stats(self) -> ServiceStats:
        """The answer of `/batch-stats`."""
        return _parse_stats(await self._ask("GET", "/batch-stats", None))

    def problems(self, body: bytes) -> list[Problem]:
        """See `ServiceProtocol`."""
        return parse_refusal(body)


def parse_batch_answer(
    body: bytes, texts: Sequence[str], all_scores: bool, analyses: Sequence[str] = ()
) -> list[Outcome]:
    """One outcome per text, in order.

    Raises:
        FaultError: the body is not an answer to these texts: cut short, malformed, miscounted or mixed up.
    """
    results = parsed(_BATCH, body).results
    check_count(len(results), len(texts))
    return [_outcome(results[order], text, order, all_scores, analyses) for order, text in enumerate(texts)]


def _outcome(result: _Result, text: str, order: int, all_scores: bool, analyses: Sequence[str]) -> Outcome:
    if result.processing_order != order:
        raise FaultError(f"the service answered result {result.processing_order} where number {order} was due")
    if result.error is not None:
        # The text's index in the request means nothing to people.
        return Failure(result.error.code, result.error.message.replace(f"texts[{order}]", "the text"))
    if result.text is not None and result.text != text:
        raise FaultError(f"result {order} of the service's answer is for another text")
    if analyses:
        return prediction_from({name: _analysis(result, name, order, all_scores) for name in analyses})
    is_whole = result.confidence is not None and result.token_count is not None and result.truncated is not None
    if not (result.sentiment and is_whole):
        raise FaultError(f"the service's answer is malformed: results.{order} lacks a field")
    if all_scores and not result.scores:
        raise FaultError(f"result {order} of the service's answer lacks the scores")
    return Prediction(
        result.sentiment, result.confidence or 0.0, result.token_count, result.truncated, result.scores,
        result.tokens_dropped, result.windows,
    )  # fmt: skip


def _analysis(result: _Result, name: str, order: int, all_scores: bool) -> Analysis:
    found = (result.analyses or {}).get(name)
    if found is None:
        raise FaultError(f"result {order} of the service's answer lacks the analysis {name!r}")
    if all_scores and not found.scores:
        raise FaultError(f"result {order} of the service's answer lacks the scores of {name!r}")
    return Analysis(
        found.label, found.confidence, found.token_count, found.truncated, found.scores, found.tokens_dropped,
        found.windows, None if found.labels is None else tuple(found.labels),
    )  # fmt: skip


def _parse_stats(body: bytes) -> ServiceStats:
    return parsed(_STATS, body, "statistics are")


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True
