"""The client for programs without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from batch_client.async_client import AsyncClient
from batch_client.columns import columns_of
from batch_client.outcomes import Outcome, Prediction
from batch_client.wire import ServiceStats

T = TypeVar("T")


class Client:
    """`AsyncClient` without `await`: it runs one on a thread of its own, so it works in a notebook too.

        with Client("http://127.0.0.1:8000") as client:
            predictions = client.classify(["I love this!", "Terrible."])

    Keyword arguments are the fields of `Options`. Raises InputError for options that cannot work.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self._client = AsyncClient(url, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="batch-client", daemon=True)
        self._thread.start()

    def classify(self, texts: Iterable[str]) -> list[Prediction]:
        """One prediction per text, in order. Raises like `AsyncClient.classify`."""
        return self._run(self._client.classify(texts))

    def classify_stream(self, texts: Iterable[object]) -> Iterator[Outcome]:
        """One outcome per text, in order; requests go on while the caller works on what it has.

        `texts` is drawn from on the client's thread. Raises like `AsyncClient.classify_stream`.
        """
        batches = self._client.classify_batches(texts)
        try:
            while (outcomes := self._run(_next(batches))) is not None:
                yield from outcomes
        finally:
            if not self._loop.is_closed():
                self._run(batches.aclose())

    def columns(self, texts: Iterable[object], *, prefix: str = "") -> dict[str, list[Any]]:
        """The columns that `batch-client score` adds for these texts, by name, each as long as `texts`.

        A text without an answer has its reason in `error`, and None elsewhere. Raises ServiceError.
        """
        return columns_of(list(self.classify_stream(texts)), prefix)

    def stats(self) -> ServiceStats:
        """The service's own counters. Raises ServiceError."""
        return self._run(self._client.stats())

    def close(self) -> None:
        """Close all connections and end the thread."""
        if self._loop.is_closed():
            return
        self._run(self._loop.shutdown_asyncgens())  # streams that their readers left
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C here must not leave the work running there
            future.cancel()
            raise


async def _next(batches: AsyncGenerator[list[Outcome], None]) -> list[Outcome] | None:
    return await anext(batches, None)
