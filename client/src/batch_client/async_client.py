"""The asynchronous client: any number of texts, outcomes in order."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from batch_client.batching import split_into_batches
from batch_client.columns import columns_of
from batch_client.delivery import Delivery
from batch_client.errors import InputError, TextsFailedError
from batch_client.outcomes import Failure, Outcome, Prediction
from batch_client.progress import Gathered, Progress
from batch_client.service_client import ServiceClient
from batch_client.service_identity import ServiceIdentity
from batch_client.service_stats import ServiceStats
from batch_client.transport import Transport


class AsyncClient(ServiceClient):
    """Classifies any number of texts through one service.

        async with AsyncClient("http://127.0.0.1:8000") as client:
            predictions = await client.classify(["I love this!", "Terrible."])

    Arguments are those of `ServiceClient`. A client works in one event loop at a time, and connects anew in the next
    one. Its requests share one limit on concurrency.
    """

    def _start(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._connect()

    async def classify(self, texts: Iterable[str], *, progress: Progress = False) -> list[Prediction]:
        """One prediction per text, in order; `progress=True` shows a bar, a function gets a `Tick` now and then.

        Raises:
            InputError: `texts` is not a list of texts, but for example one.
            TextsFailedError: some texts got no answer; the error holds every outcome.
            ServiceError: the service is not to be reached or refuses access.
        """
        return predictions_or_raise(await self._all(texts, progress))

    async def columns(
        self, texts: Iterable[object], *, prefix: str = "", progress: Progress = False
    ) -> dict[str, list[Any]]:
        """The columns that `batch-client score` adds for these texts, by name, each as long as `texts`.

        A text without an answer has its reason in `error`, and None elsewhere. Raises like `classify_stream`.
        """
        return columns_of(await self._all(texts, progress), prefix, self.options.analyses)

    async def classify_stream(self, texts: Iterable[object]) -> AsyncGenerator[Outcome, None]:
        """One outcome per text, in order, as they come in. `texts` is drawn from as needed and may be endless.

        Raises:
            ServiceError: the service is not to be reached or refuses access.
        """
        async for outcomes in self.classify_batches(texts):
            for outcome in outcomes:
                yield outcome

    async def classify_batches(self, texts: Iterable[object]) -> AsyncGenerator[list[Outcome], None]:
        """`classify_stream` in groups, one per request."""
        self._enter_loop()
        batches = split_into_batches(checked_texts(texts), self._texts_per_request, self.options.bytes_per_request)
        window: deque[asyncio.Task[list[Outcome]]] = deque()
        self._delivery.excuse(float("inf"))
        try:
            self._fill(window, batches)
            while window:
                outcomes = await window[0]
                window.popleft()
                given = time.monotonic()
                yield outcomes
                self._delivery.excuse(time.monotonic() - given)
                self._fill(window, batches)
        finally:
            for task in window:
                task.cancel()
            await asyncio.gather(*window, return_exceptions=True)

    async def classify_single(self, text: str) -> Prediction:
        """The prediction for one text through `/analyze-single`, as the public example's comparison needs it.

        Raises:
            ServiceError: the service is not to be reached or refuses the text.
        """
        self._enter_loop()
        return await self._delivery.persist(lambda: self._transport.classify_single(text.strip()))

    async def check(self, patience_s: float) -> None:
        """See whether the service is there. Raises ServiceError if nobody answers at all within `patience_s`.

        A status that promises better, such as 503 or 429, is an answer: it is waited for as in any run.
        """
        self._enter_loop()
        self._delivery.excuse(float("inf"))
        await self._delivery.persist(self._transport.probe, patience_s)

    async def stats(self) -> ServiceStats:
        """The service's own counters. Raises ServiceError."""
        self._enter_loop()
        return await self._delivery.persist(self._transport.stats)

    async def identity(self, is_patient: bool = True) -> ServiceIdentity | None:
        """What answers at the address: model, revision and whatever else changes its answers; None if it does not say.

        Without `is_patient` one attempt is made. Raises ServiceError.
        """
        self._enter_loop()
        if not is_patient:
            return await self._transport.identity()
        return await self._delivery.persist(self._transport.identity, is_aside=True)

    @property
    def concurrency(self) -> int:
        """Requests that may be in flight at present."""
        return self._delivery.limit.limit

    @property
    def num_retries(self) -> int:
        """Attempts that were repeated so far."""
        return self._delivery.num_retries

    async def close(self) -> None:
        """Close all connections. Further calls raise InputError."""
        self._is_closed = True
        if self._loop is asyncio.get_running_loop():  # those of a loop that has ended are gone
            await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _all(self, texts: Iterable[object], progress: Progress) -> list[Outcome]:
        with Gathered(texts, progress) as gathered:
            async for outcomes in self.classify_batches(texts):
                gathered.add(outcomes, self.concurrency)
        return gathered.outcomes

    def _connect(self) -> None:
        self._transport = Transport(self.options)
        self._delivery = Delivery(self._transport, self.options, self._on_waiting)
        self._texts_per_request = min(self.options.texts_per_request, self._transport.max_texts)

    def _enter_loop(self) -> None:
        """Connections belong to an event loop: begin anew if this is another. Raises InputError if it cannot be."""
        if self._is_closed:
            raise InputError("the client is closed; make a new one")
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            if self._loop is not None and self._loop.is_running():
                raise InputError("the client is in use in another event loop; make one for each")
            self._connect()
        self._loop = loop

    def _fill(self, window: deque[asyncio.Task[list[Outcome]]], batches: Iterator[list[str | Outcome]]) -> None:
        # Twice as many as may be in flight: a request that is being retried must not leave the service idle.
        while len(window) < 2 * self.concurrency and (batch := next(batches, None)) is not None:
            window.append(asyncio.create_task(self._outcomes(batch)))

    async def _outcomes(self, batch: list[str | Outcome]) -> list[Outcome]:
        texts = [item for item in batch if isinstance(item, str)]
        answered = iter(await self._delivery.deliver(texts) if texts else [])
        return [next(answered) if isinstance(item, str) else item for item in batch]


def checked_texts(texts: object) -> Iterable[object]:
    """`texts`, if it is several texts. Raises InputError for one text, whose letters would be taken for texts."""
    if isinstance(texts, str | bytes | bytearray):
        raise InputError("a single text was given where a list of texts is expected; put it in a list: [text]")
    if isinstance(texts, Mapping) or hasattr(texts, "columns"):
        raise InputError(f"a {type(texts).__name__} is not a list of texts; give one of its columns")
    if not isinstance(texts, Iterable):
        raise InputError(f"a {type(texts).__name__} is not a list of texts")
    return texts


def predictions_or_raise(outcomes: list[Outcome]) -> list[Prediction]:
    """The outcomes, if all are predictions. Raises TextsFailedError otherwise."""
    failures = {index: outcome.reason for index, outcome in enumerate(outcomes) if isinstance(outcome, Failure)}
    if failures:
        raise TextsFailedError(failures, outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
