"""The client for programs without an event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from batch_client.async_client import AsyncClient, checked_texts, predictions_or_raise
from batch_client.columns import columns_of
from batch_client.errors import InputError
from batch_client.options import Options
from batch_client.outcomes import Outcome, Prediction
from batch_client.progress import Gathered, Progress
from batch_client.service_client import ServiceClient
from batch_client.service_identity import ServiceIdentity
from batch_client.service_stats import ServiceStats

T = TypeVar("T")


class Client(ServiceClient):
    """`AsyncClient` without `await`: it runs one on a thread of its own, so it works in a notebook too.

        with Client("http://127.0.0.1:8000") as client:
            predictions = client.classify(["I love this!", "Terrible."])

    Arguments are those of `ServiceClient`. Calls on a closed client raise InputError. A client that was made before a
    fork, or sent to another process by pickling it, connects anew there.
    """

    _left_behind: list[object] | None = None

    def _start(self) -> None:
        self._client = AsyncClient(self.options, on_waiting=self._on_waiting)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="batch-client", daemon=True)
        self._thread.start()
        self._process_id = os.getpid()

    def classify(self, texts: Iterable[str], *, progress: Progress = False) -> list[Prediction]:
        """One prediction per text, in order. Raises like `AsyncClient.classify`.

        `progress=True` shows a bar, in a notebook too; a function gets a `batch_client.progress.Tick` now and then.
        """
        return predictions_or_raise(self._all(texts, progress))

    def columns(self, texts: Iterable[object], *, prefix: str = "", progress: Progress = False) -> dict[str, list[Any]]:
        """The columns that `batch-client score` adds, by name. Raises like `AsyncClient.columns`."""
        return columns_of(self._all(texts, progress), prefix, self.options.analyses)

    def classify_stream(self, texts: Iterable[object]) -> Iterator[Outcome]:
        """One outcome per text, in order; requests go on while the caller works on what it has.

        `texts` is drawn from on the client's thread. Raises like `AsyncClient.classify_stream`.
        """
        for outcomes in self._batches(texts):
            yield from outcomes

    def _all(self, texts: Iterable[object], progress: Progress) -> list[Outcome]:
        # On the caller's thread, as notebooks show there what belongs to a cell.
        with Gathered(texts, progress) as gathered:
            for outcomes in self._batches(texts):
                gathered.add(outcomes, self._client.concurrency)
        return gathered.outcomes

    def _batches(self, texts: Iterable[object]) -> Iterator[list[Outcome]]:
        self._follow_fork()
        batches = self._client.classify_batches(checked_texts(texts))
        try:
            while (outcomes := self._run(_next(batches))) is not None:
                yield outcomes
        finally:
            if not self._loop.is_closed():
                self._run(batches.aclose())

    def check(self, patience_s: float = 15.0) -> None:
        """See whether the service is there. Raises like `AsyncClient.check`."""
        self._follow_fork()
        self._run(self._client.check(patience_s))

    def stats(self) -> ServiceStats:
        """The service's own counters. Raises ServiceError."""
        self._follow_fork()
        return self._run(self._client.stats())

    def identity(self) -> ServiceIdentity | None:
        """What answers at the address, as far as it says so. Raises ServiceError."""
        self._follow_fork()
        return self._run(self._client.identity())

    def close(self) -> None:
        """Close all connections and end the thread."""
        if self._loop.is_closed() or self._process_id != os.getpid():  # the parent's are not ours to close
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

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.options, self._on_waiting)

    def _follow_fork(self) -> None:
        """Start anew in a child process, where the thread of the parent does not run."""
        if self._process_id != os.getpid():
            # Kept, because to collect them would touch the parent's connections and its loop.
            self._left_behind = [self._left_behind, self._client, self._loop, self._thread]
            self._start()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed() or threading.current_thread() is self._thread:
            coroutine.close()
            if self._loop.is_closed():
                raise InputError("the client is closed; make a new one")
            raise InputError("the client was called while it draws texts or reports; use another one there")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C here must not leave the work running there
            future.cancel()
            raise


def _rebuilt(options: Options, on_waiting: Callable[[str], None] | None) -> Client:
    return Client(options, on_waiting=on_waiting)


async def _next(batches: AsyncGenerator[list[Outcome], None]) -> list[Outcome] | None:
    return await anext(batches, None)
