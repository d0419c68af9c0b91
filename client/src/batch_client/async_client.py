"""The asynchronous client: any number of texts, outcomes in order."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from batch_client.batching import split_into_batches
from batch_client.delivery import Delivery
from batch_client.errors import TextsFailedError, UnavailableError
from batch_client.options import Options
from batch_client.outcomes import Failure, Outcome, Prediction
from batch_client.protocols import PROTOCOLS
from batch_client.transport import Transport
from batch_client.wire import ServiceStats


class AsyncClient:
    """Classifies any number of texts through one service.

        async with AsyncClient("http://127.0.0.1:8000") as client:
            predictions = await client.classify(["I love this!", "Terrible."])

    Keyword arguments are the fields of `Options`. A client belongs to one event loop; its requests share one limit on
    concurrency. Raises InputError for options that cannot work.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self.options = Options(url, **options)
        self._transport = Transport(self.options)
        self._delivery = Delivery(self._transport, self.options)
        self._texts_per_request = min(self.options.texts_per_request, PROTOCOLS[self.options.protocol].max_texts)

    async def classify(self, texts: Iterable[str]) -> list[Prediction]:
        """One prediction per text, in order.

        Raises:
            TextsFailedError: some texts got no answer; the error holds every outcome.
            ServiceError: the service is not to be reached or refuses access.
        """
        return predictions_or_raise([outcome async for outcome in self.classify_stream(texts)])

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
        batches = split_into_batches(texts, self._texts_per_request, self.options.bytes_per_request)
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
        return await self._delivery.persist(lambda: self._transport.classify_single(text.strip()))

    async def check(self, patience_s: float) -> None:
        """See whether the service is there. Raises ServiceError if it does not answer within `patience_s`."""
        try:
            async with asyncio.timeout(patience_s):
                await self._delivery.persist(self._transport.probe)
        except TimeoutError:
            raise UnavailableError(
                f"{self.options.url} has not answered for {patience_s:g} s; is the service running at this address?"
            ) from None

    async def stats(self) -> ServiceStats:
        """The service's own counters. Raises ServiceError."""
        return await self._delivery.persist(self._transport.stats)

    @property
    def concurrency(self) -> int:
        """Requests that may be in flight at present."""
        return self._delivery.limit.limit

    @property
    def num_retries(self) -> int:
        """Attempts that were repeated so far."""
        return self._delivery.num_retries

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _fill(self, window: deque[asyncio.Task[list[Outcome]]], batches: Iterator[list[str | Failure]]) -> None:
        # Twice as many as may be in flight: a request that is being retried must not leave the service idle.
        while len(window) < 2 * self.concurrency and (batch := next(batches, None)) is not None:
            window.append(asyncio.create_task(self._outcomes(batch)))

    async def _outcomes(self, batch: list[str | Failure]) -> list[Outcome]:
        texts = [item for item in batch if isinstance(item, str)]
        answered = iter(await self._delivery.deliver(texts) if texts else [])
        return [item if isinstance(item, Failure) else next(answered) for item in batch]


def predictions_or_raise(outcomes: list[Outcome]) -> list[Prediction]:
    """The outcomes, if all are predictions. Raises TextsFailedError otherwise."""
    failures = {index: outcome.reason for index, outcome in enumerate(outcomes) if isinstance(outcome, Failure)}
    if failures:
        raise TextsFailedError(failures, outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
