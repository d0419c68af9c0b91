"""A request that the engine has admitted: tokenized, and counted among the queued tokens until it has been answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from batch_inference.caller import Caller
from batch_inference.chunks import Chunks
from batch_inference.outcome import Outcome
from batch_inference.request_rows import AskedRows, RequestRows
from batch_inference.served_model import ServedModel
from batch_inference.stats import Stats
from batch_inference.text_groups import TextGroup
from batch_inference.tokenizer import EncodedTexts
from batch_inference.windows import text_means


class AdmittedTexts:
    """The texts of one request, ready to be run once by a model: together, or chunk by chunk.

    Attributes:
        encoded: what the model sees of the texts.
        max_length: tokens of a text, or of a window, that it may see at most.
    """

    def __init__(
        self,
        encoded: EncodedTexts,
        max_length: int,
        served: ServedModel,
        submit: Callable[[Sequence[TextGroup]], None],
        stats: Stats,
        caller: Caller,
        arrived_at: float,
    ) -> None:
        self.encoded = encoded
        self.max_length = max_length
        self._served = served
        self._submit = submit
        self._stats = stats
        self._caller = caller
        self._arrived_at = arrived_at
        self._chunks: Chunks[Outcome] | None = None

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

    def in_chunks(self, sizes: Sequence[int]) -> Chunks[Outcome]:
        """Run chunks of so many texts; a chunk may be empty. The first of them are queued at once.

        Raises:
            EngineStoppedError: the engine is closed.
        """
        ask = self.asking(sizes)

        def submit(first: int, last: int) -> list[Pending]:
            pending = ask(first, last)
            self._submit([each.group for each in pending])
            return pending

        self._chunks = chunks = Chunks(sizes, submit, self._count)
        self._caller.on_leaving(chunks.cancel)
        return chunks

    def asking(self, sizes: Sequence[int]) -> Callable[[int, int], list[Pending]]:
        """Make chunks of so many texts ready.

        Returns:
            What gives chunks `first` to `last` (exclusive), which must be the next ones, with their groups to queue.
        """
        encoded, served = self.encoded, self._served
        rows = RequestRows(encoded.rows, served.name, served.model.num_outputs, served.cache)
        ends = list(accumulate(sizes))
        parts = [encoded] if len(ends) == 1 else [
            encoded.part(end - size, end) for size, end in zip(sizes, ends, strict=True)
        ]  # fmt: skip
        row_ends = list(accumulate(len(part.rows) for part in parts))

        def ask(first: int, last: int) -> list[Pending]:
            asked = [rows.ask(row_ends[n] - len(parts[n].rows), row_ends[n]) for n in range(first, last)]
            for part in asked:
                served.stats.count_cache(part.num_found, len(part.group.rows))
            return [Pending(self, part, each) for part, each in zip(parts[first:last], asked, strict=True)]

        return ask

    def cancel(self) -> None:
        """Take what has no answer yet out of the queue. Any thread may."""
        if self._chunks:
            self._chunks.cancel()

    def outcome(self, part: EncodedTexts, asked: AskedRows) -> Outcome:
        """Wait for these of the texts."""
        outputs = asked.outputs()
        usage, model = asked.group.usage, self._served.model
        return Outcome(
            labels=model.labels,
            is_multi_label=model.head.is_multi_label,
            answers=text_means(model.head.answers(outputs), part.num_windows, part.weights),
            outputs=text_means(outputs, part.num_windows, part.weights),
            num_tokens=part.num_tokens,
            num_dropped=part.num_dropped,
            num_windows=part.num_windows,
            num_tokens_run=part.rows.num_tokens,
            queue_time_s=0.0 if usage.started_at is None else usage.started_at - self._arrived_at,
            usage=usage,
        )

    def count_texts(self) -> NDArray[np.bool_]:
        """Count the texts as answered. Returns which of them the model did not see whole."""
        is_truncated = self.encoded.num_dropped > 0
        self._served.stats.count_texts(len(is_truncated), int(np.count_nonzero(is_truncated)))
        return is_truncated

    def _count(self, first: Outcome) -> None:
        # Who leaves before the last answer is there reads none: that is no answered request.
        self._caller.check()
        is_truncated = self.count_texts()
        latency_s = time.monotonic() - self._arrived_at
        num_truncated = int(np.count_nonzero(is_truncated))
        self._stats.count_request(len(is_truncated), num_truncated, latency_s, first.queue_time_s)


class Pending:
    """Texts that are in the queue or in a pass; a `PendingOutcome`."""

    __slots__ = ("_admitted", "_asked", "_part")

    def __init__(self, admitted: AdmittedTexts, part: EncodedTexts, asked: AskedRows) -> None:
        self._admitted = admitted
        self._part = part
        self._asked = asked

    @property
    def group(self) -> TextGroup:
        """What has to be run of them."""
        return self._asked.group

    def outcome(self) -> Outcome:
        """Wait for it."""
        return self._admitted.outcome(self._part, self._asked)

    def cancel(self) -> None:
        """Take what has no answer yet out of the queue. Any thread may."""
        self.group.future.cancel()
