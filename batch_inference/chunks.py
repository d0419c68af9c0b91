"""A request that is answered chunk by chunk: the next chunks are queued as the first ones are done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, Protocol, TypeVar

from batch_inference.outcome import Outcome, Outcomes

OutcomeT = TypeVar("OutcomeT", bound=Outcome | Outcomes)
PendingT = TypeVar("PendingT", bound=Outcome | Outcomes, covariant=True)

MIN_CHUNKS_AHEAD: Final = 2
MIN_TEXTS_AHEAD: Final = 32
"""How much of a stream is queued at a time: enough to fill passes, little enough that its chunks finish in order."""


class PendingOutcome(Protocol[PendingT]):
    """Texts that are in the queue or in a pass."""

    def outcome(self) -> PendingT:
        """Wait for it."""
        ...

    def cancel(self) -> None:
        """Take what has no answer yet out of the queue. Any thread may."""
        ...


class Chunks(Iterator[OutcomeT], Generic[OutcomeT]):
    """The outcomes of a request's chunks, in input order, each as soon as it is there.

    Args:
        sizes: texts of each chunk, at least one chunk; a chunk may be empty.
        submit: queues chunks `first` to `last` (exclusive) together.
        on_end: called with the outcome of the first chunk once all outcomes have been taken.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        submit: Callable[[int, int], Sequence[PendingOutcome[OutcomeT]]],
        on_end: Callable[[OutcomeT], None],
    ) -> None:
        self._num_chunks = len(sizes)
        self._submit = submit
        self._on_end = on_end
        self._pending: list[PendingOutcome[OutcomeT]] = []
        self._num_done = 0
        self._first: OutcomeT | None = None
        self._is_cancelled = False
        self._queue(max(MIN_CHUNKS_AHEAD, -(-MIN_TEXTS_AHEAD // max(1, *sizes))))

    def __next__(self) -> OutcomeT:
        if self._num_done == self._num_chunks:
            if self._first is not None:
                self._on_end(self._first)
                self._first = None
            raise StopIteration
        outcome = self._pending[self._num_done].outcome()
        if self._num_done == 0:
            self._first = outcome
        self._num_done += 1
        self._queue(1)
        return outcome

    def cancel(self) -> None:
        """Take what has no outcome yet out of the queue; waiting for it raises a CancelledError. Any thread may."""
        self._is_cancelled = True
        for pending in tuple(self._pending):
            pending.cancel()

    def _queue(self, num_chunks: int) -> None:
        start = len(self._pending)
        end = min(start + num_chunks, self._num_chunks)
        if start < end:
            self._pending += self._submit(start, end)
        if self._is_cancelled:
            self.cancel()
