"""Getting an outcome for every text of one request: retries, and the separation of bad texts from good ones."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random, wait_random_exponential

from batch_client.awake import AwakeClock
from batch_client.concurrency import AdaptiveLimit
from batch_client.errors import (
    ColdError,
    FaultError,
    OverloadedError,
    RequestRefusedError,
    ServiceError,
    TransientError,
    UnavailableError,
    UnreachableError,
)
from batch_client.options import Options
from batch_client.outcomes import Failure, Outcome
from batch_client.transport import Transport

AnswerT = TypeVar("AnswerT")

_log = logging.getLogger("batch_client")
_SECONDS_BETWEEN_NOTICES = 15.0
_PATIENCE_IF_REFUSED_S = 2.0
"""At the start, for a port at which nothing listens: enough for a service that is being started again."""
COLD_STARTS = "others have waited 17 to 97 minutes"
"""For a trusted GPU of the platform, June 2026: the only measurements in public."""
_ATTEMPTS_AT_A_PART = 2
"""Attempts at the halves of a request that has already failed: enough for a stray fault, cheap for a poisonous text."""


class _RequestFailedError(Exception):
    """The service works, but not on this request."""


class Delivery:
    """Delivers requests. One object serves all requests of a client, so that they know of each other's answers."""

    def __init__(self, transport: Transport, options: Options, on_waiting: Callable[[str], None] | None = None) -> None:
        self.limit = AdaptiveLimit(options.max_concurrency, options.start_concurrency)
        self.num_retries = 0
        self._transport = transport
        self._options = options
        self._clock = AwakeClock()
        self._last_answer = self._clock.now()
        self._on_waiting = on_waiting or _log.warning
        self._cold_since: float | None = None
        self._next_notice = 0.0

    def excuse(self, pause_s: float) -> None:
        """Do not count so many seconds as the service's silence: it was not asked then."""
        self._last_answer = min(self._clock.now(), self._last_answer + pause_s)

    async def deliver(self, texts: Sequence[str]) -> list[Outcome]:
        """An outcome for each of 1 to 100 checked texts, in order.

        Raises:
            ServiceError: what concerns more than these texts: no access, a wrong address, no answer for `patience_s`.
        """
        return await self._deliver(texts, self._options.attempts)

    async def persist(
        self, attempt: Callable[[], Awaitable[AnswerT]], patience_s: float | None = None, is_aside: bool = False
    ) -> AnswerT:
        """The answer of a request that has no part to blame: tried again until it comes or patience ends.

        `patience_s` is for a service that gives no sign at all; one that answers a status is waited for as in any run.
        With `is_aside` it neither waits for a slot behind requests with texts, nor counts for how many there may be.
        """
        return await self._persist(attempt, None if is_aside else 1, attempts=None, patience_s=patience_s)

    async def _deliver(self, texts: Sequence[str], attempts: int) -> list[Outcome]:
        try:
            return list(await self._persist(lambda: self._transport.classify(texts), len(texts), attempts))
        except RequestRefusedError as refusal:
            return await self._without_refused(texts, refusal)
        except _RequestFailedError as failed:
            if len(texts) == 1:
                return [Failure("service", str(failed))]
            return await self._in_halves(texts)

    async def _without_refused(self, texts: Sequence[str], refusal: RequestRefusedError) -> list[Outcome]:
        reasons = _reasons_by_text(refusal, len(texts))
        if any(problem.loc and problem.loc[0] not in ("texts", "text") for problem in refusal.problems):
            raise refusal
        if not reasons and len(texts) > 1:
            return await self._in_halves(texts)
        if not reasons:
            return [Failure("refused", refusal.problems[0].msg)]
        good = [text for index, text in enumerate(texts) if index not in reasons]
        answered = iter(await self._deliver(good, self._options.attempts) if good else [])
        return [
            Failure("refused", reasons[index]) if index in reasons else next(answered) for index in range(len(texts))
        ]

    async def _in_halves(self, texts: Sequence[str]) -> list[Outcome]:
        middle = len(texts) // 2
        first = await self._deliver(texts[:middle], _ATTEMPTS_AT_A_PART)
        return first + await self._deliver(texts[middle:], _ATTEMPTS_AT_A_PART)

    async def _persist(
        self,
        attempt: Callable[[], Awaitable[AnswerT]],
        num_texts: int | None,
        attempts: int | None,
        patience_s: float | None = None,
    ) -> AnswerT:
        """Try until there is an answer. Without `num_texts` it is none that counts for the limit on concurrency.

        Raises:
            _RequestFailedError: the service failed on it `attempts` times, although it is alive.
            UnavailableError: the service has answered nothing for `patience_s`.
        """
        num_faults = 0

        async def try_once() -> AnswerT:
            nonlocal num_faults
            try:
                return await self._attempt(attempt, num_texts)
            except TransientError as error:
                self._check_patience(error, patience_s)
                num_faults += isinstance(error, FaultError)
                if attempts is not None and num_faults >= attempts and await self._is_alive():
                    raise _RequestFailedError(f"{error}, {num_faults} times") from error
                raise

        async with self._clock.beating():
            return await AsyncRetrying(retry=retry_if_exception_type(TransientError), wait=self._wait_s)(try_once)

    async def _attempt(self, attempt: Callable[[], Awaitable[AnswerT]], num_texts: int | None) -> AnswerT:
        if num_texts is None:
            return await attempt()
        async with self.limit.slot() as started:
            try:
                answer = await attempt()
            except RequestRefusedError:
                self._note_answer()
                raise
            except OverloadedError as overload:
                self.limit.report_overload(started, overload.retry_after_s)
                raise
            self._note_answer()
            self.limit.report_answer(num_texts)
            return answer

    def _note_answer(self) -> None:
        self._last_answer = self._clock.now()
        self._cold_since = None

    def _check_patience(self, error: TransientError, patience_s: float | None) -> None:
        """Raise UnavailableError if the service has given no answer for too long. Else say what is being waited for."""
        now = self._clock.now()
        if isinstance(error, ColdError):
            # The platform promises an instance: whatever comes next begins with fresh patience.
            self._last_answer = now
            self._cold_since = self._cold_since or now
            waited_s, limit_s = now - self._cold_since, self._options.cold_start_s
        else:
            waited_s, limit_s = now - self._last_answer, self._options.patience_s
            if patience_s is not None and _is_without_sign(error):
                limit_s = min(limit_s, patience_s)
                if isinstance(error, UnreachableError) and error.is_refused:
                    limit_s = min(limit_s, _PATIENCE_IF_REFUSED_S)
        asked_s = getattr(error, "retry_after_s", None) or 0.0
        if waited_s + asked_s > limit_s:
            raise UnavailableError(
                f"the service has answered nothing for {waited_s:.0f} s; at last: {error}"
            ) from error
        self._give_notice(error, now, waited_s, limit_s)

    def _give_notice(self, error: TransientError, now: float, waited_s: float, limit_s: float) -> None:
        # A fault among many answers needs no notice; a service that answers nothing is.
        is_worth_it = isinstance(error, ColdError) or waited_s > _SECONDS_BETWEEN_NOTICES / 2
        if not is_worth_it or now < self._next_notice:
            return
        self._next_notice = now + _SECONDS_BETWEEN_NOTICES
        what = "no instance of the service is up yet" if isinstance(error, ColdError) else str(error)
        experience = f"; {COLD_STARTS}" if isinstance(error, ColdError) else ""
        self._on_waiting(f"{what}; waiting for {_clock(waited_s)}, at most {_clock(limit_s)}{experience}")

    async def _is_alive(self) -> bool:
        try:
            await self._transport.probe()
        except TransientError:
            return False
        except ServiceError:  # it has no statistics for us, but it is there
            return True
        return True

    def _wait_s(self, state: RetryCallState) -> float:
        self.num_retries += 1
        backoff = wait_random_exponential(multiplier=self._options.backoff_s, max=self._options.max_backoff_s)
        asked_s = getattr(_error_of(state), "retry_after_s", None)
        if asked_s is None:
            return backoff(state)
        return float(asked_s) + wait_random(0, self._options.backoff_s)(state)


def _is_without_sign(error: TransientError) -> bool:
    """Whether nobody answered, not even a gateway."""
    return isinstance(error, UnreachableError) or (isinstance(error, FaultError) and error.status is None)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _error_of(state: RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    assert error is not None  # tenacity asks only after a failed attempt
    return error


def _reasons_by_text(refusal: RequestRefusedError, num_texts: int) -> dict[int, str]:
    """Reasons by index of the text, as far as the refusal names texts."""
    reasons: dict[int, str] = {}
    for problem in refusal.problems:
        match problem.loc:
            case ("texts", int(index), *_) if 0 <= index < num_texts:
                # Its index in the request means nothing to people.
                reasons.setdefault(index, problem.msg.replace(f"texts[{index}]", "the text"))
    return reasons
