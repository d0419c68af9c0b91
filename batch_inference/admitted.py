"""A request that the engine has admitted: tokenized, and counted among the queued tokens until it has been answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np

from batch_inference.answer_cache import AnswerCache
from batch_inference.caller import Caller
from batch_inference.chunks import Chunks
from batch_inference.model import EncoderModel
from batch_inference.outcome import Outcome
from batch_inference.request_rows import AskedRows, RequestRows
from batch_inference.stats import Stats
from batch_inference.text_groups import TextGroup
from batch_inference.tokenizer import EncodedTexts
from batch_inference.windows import text_means


class AdmittedTexts:
    """The texts of one request, ready to be run once: together, or chunk by chunk.

    Attributes:
        encoded: what the model sees of the texts.
    """

    def __init__(
        self,
        encoded: EncodedTexts,
        model: EncoderModel,
        cache: AnswerCache,
        submit: Callable[[Sequence[TextGroup]], None],
        stats: Stats,
        caller: Caller,
        arrived_at: float,
    ) -> None:
        self.encoded = encoded
        self._model = model
        self._cache = cache
        self._submit = submit
        self._stats = stats
        self._caller = caller
        self._arrived_at = arrived_at
        self._chunks: Chunks | None = None

    def drop(self, is_dropped: Sequence[bool]) -> None:
        """Run only the other texts, none of which may have several windows."""
        self.encoded = self.encoded.select(np.flatnonzero(~np.array(is_dropped, bool)))

    def run(self) -> Outcome:
        """Run the texts together; blocks until they are done.

        Raises:
            as `Chunks` does while iterating.
        """
        [outcome] = self.in_chunks([len(self.encoded)])
        return outcome

    def in_chunks(self, sizes: Sequence[int]) -> Chunks:
        """Run chunks of so many texts; a chunk may be empty. The first of them are queued at once.

        Raises:
            EngineStoppedError: the engine is closed.
        """
        encoded = self.encoded
        rows = RequestRows(encoded.rows, self._model.num_outputs, self._cache)
        ends = list(accumulate(sizes))
        parts = [encoded] if len(ends) == 1 else [
            encoded.part(end - size, end) for size, end in zip(sizes, ends, strict=True)
        ]  # fmt: skip
        row_ends = list(accumulate(len(part.rows) for part in parts))

        def submit(first: int, last: int) -> list[Pending]:
            asked = [rows.ask(row_ends[n] - len(parts[n].rows), row_ends[n]) for n in range(first, last)]
            for part in asked:
                self._stats.count_cache(part.num_found, len(part.group.rows))
            self._submit([part.group for part in asked])
            return [Pending(self, part, each) for part, each in zip(parts[first:last], asked, strict=True)]

        self._chunks = chunks = Chunks(sizes, submit, self._count)
        self._caller.on_leaving(chunks.cancel)
        return chunks

    def cancel(self) -> None:
        """Take what has no answer yet out of the queue. Any thread may."""
        if self._chunks:
            self._chunks.cancel()

    def outcome(self, part: EncodedTexts, asked: AskedRows) -> Outcome:
        """Wait for these of the texts."""
        outputs = asked.outputs()
        usage = asked.group.usage
        return Outcome(
            labels=self._model.labels,
            is_multi_label=self._model.head.is_multi_label,
            answers=text_means(self._model.head.answers(outputs), part.num_windows, part.weights),
            outputs=text_means(outputs, part.num_windows, part.weights),
            num_tokens=part.num_tokens,
            num_dropped=part.num_dropped,
            num_windows=part.num_windows,
            num_tokens_run=part.rows.num_tokens,
            queue_time_s=0.0 if usage.started_at is None else usage.started_at - self._arrived_at,
            usage=usage,
        )

    def _count(self, first: Outcome) -> None:
        num_truncated = int(np.count_nonzero(self.encoded.num_dropped))
        latency_s = time.monotonic() - self._arrived_at
        self._stats.count_request(len(self.encoded), num_truncated, latency_s, first.queue_time_s)


class Pending:
    """Texts that are in the queue or in a pass; a `PendingOutcome`."""

    __slots__ = ("_admitted", "_asked", "_part")

    def __init__(self, admitted: AdmittedTexts, part: EncodedTexts, asked: AskedRows) -> None:
        self._admitted = admitted
        self._part = part
        self._asked = asked

    def outcome(self) -> Outcome:
        """Wait for it."""
        return self._admitted.outcome(self._part, self._asked)

    def cancel(self) -> None:
        """Take what has no answer yet out of the queue. Any thread may."""
        self._asked.group.future.cancel()
