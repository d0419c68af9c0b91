"""A request that several models answer: admitted and tokenized for all of them, and queued for all at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from batch_inference.admitted import AdmittedTexts, Pending
from batch_inference.caller import Caller
from batch_inference.chunks import Chunks
from batch_inference.outcome import Outcomes
from batch_inference.stats import Stats
from batch_inference.text_groups import TextGroup


class AdmittedForSeveral:
    """The texts of one request, ready to be run once by each of several models: together, or chunk by chunk.

    Attributes:
        by_model: the texts as each model sees them, by the models' names, in the order asked for; at least one.
    """

    def __init__(
        self,
        by_model: Mapping[str, AdmittedTexts],
        submit: Callable[[Sequence[TextGroup]], None],
        stats: Stats,
        caller: Caller,
        arrived_at: float,
    ) -> None:
        self.by_model = by_model
        self._submit = submit
        self._stats = stats
        self._caller = caller
        self._arrived_at = arrived_at
        self._chunks: Chunks[Outcomes] | None = None

    def drop(self, is_dropped: Sequence[bool]) -> None:
        """Run only the other texts, none of which may have several windows."""
        for admitted in self.by_model.values():
            admitted.drop(is_dropped)

    def run(self) -> Outcomes:
        """Run the texts together; blocks until they are done.

        Raises:
            as `AdmittedTexts.run`.
        """
        first = next(iter(self.by_model.values()))
        [outcomes] = self.in_chunks([len(first.encoded)])
        return outcomes

    def in_chunks(self, sizes: Sequence[int]) -> Chunks[Outcomes]:
        """Run chunks of so many texts; a chunk may be empty. The first of them are queued at once.

        Raises:
            EngineStoppedError: the engine is closed.
        """
        asking = {name: admitted.asking(sizes) for name, admitted in self.by_model.items()}

        def submit(first: int, last: int) -> list[PendingForSeveral]:
            pending = {name: ask(first, last) for name, ask in asking.items()}
            self._submit([one.group for asked in pending.values() for one in asked])
            return [
                PendingForSeveral({name: asked[number] for name, asked in pending.items()})
                for number in range(last - first)
            ]

        self._chunks = chunks = Chunks(sizes, submit, self._count)
        self._caller.on_leaving(chunks.cancel)
        return chunks

    def cancel(self) -> None:
        """Take what has no answer yet out of the queue. Any thread may."""
        if self._chunks:
            self._chunks.cancel()

    def _count(self, first: Outcomes) -> None:
        is_truncated = [admitted.count_texts() for admitted in self.by_model.values()]
        num_truncated = int(np.count_nonzero(np.any(is_truncated, axis=0)))
        latency_s = time.monotonic() - self._arrived_at
        self._stats.count_request(len(is_truncated[0]), num_truncated, latency_s, first.queue_time_s)


class PendingForSeveral:
    """Texts that are in the queue or in a pass, for each of several models; a `PendingOutcome`."""

    __slots__ = ("_by_model",)

    def __init__(self, by_model: Mapping[str, Pending]) -> None:
        self._by_model = by_model

    def outcome(self) -> Outcomes:
        """Wait for all of the models."""
        return Outcomes({name: pending.outcome() for name, pending in self._by_model.items()})

    def cancel(self) -> None:
        """Take what has no answer yet out of the queue. Any thread may."""
        for pending in self._by_model.values():
            pending.cancel()
