"""What a cord, a benchmark or an offline job calls: texts in, outcomes out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from batch_inference.answer_cache import AnswerCache, Place, fill_in
from batch_inference.chunks import Chunks
from batch_inference.errors import EngineStoppedError
from batch_inference.heads import Head
from batch_inference.known_answers import check_known_answers
from batch_inference.loading import load_model
from batch_inference.model import EncoderModel
from batch_inference.outcome import Outcome
from batch_inference.own_thread import in_own_thread
from batch_inference.pass_cost import pass_cost, warm_up
from batch_inference.planner import PassCost
from batch_inference.queue_limit import QueueLimit
from batch_inference.scheduler import Scheduler
from batch_inference.settings import EncoderSettings
from batch_inference.stats import Stats
from batch_inference.text_groups import TextGroup
from batch_inference.token_rows import Indices, Outputs, TokenRows
from batch_inference.tokenizer import EncodedTexts
from batch_inference.windows import text_means

logger = logging.getLogger(__name__)

MIB: Final = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Rows that were asked for.

    Attributes:
        rows: all of them.
        group: those that have to be run.
        missing: their indices.
        found: the index of each other row, and where its outputs are.
    """

    rows: TokenRows
    group: TextGroup
    missing: Indices
    found: list[tuple[int, Place]]


class Engine:
    """Runs texts of any number of threads on one model.

    Attributes:
        model: what is loaded.
        stats: the counters, also of errors that callers of the engine count.
    """

    def __init__(
        self,
        model: EncoderModel,
        cost: PassCost,
        settings: EncoderSettings,
        on_device_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.model = model
        self.stats = Stats()
        self._window_stride = settings.window_stride
        self._cache = AnswerCache(settings.answer_cache_mib * MIB)
        self._limit = QueueLimit(settings.max_queued_tokens, self.stats.seconds_for)
        self._on_device_lost = on_device_lost
        self._scheduler = Scheduler(model, cost, self.stats.count_pass, self._lose_device, model.max_in_flight)

    @classmethod
    def start(cls, settings: EncoderSettings, head: Head, on_device_lost: Callable[[], None] = lambda: None) -> Engine:
        """Load the model, test it, and run it at its fullest, so that nothing is loaded, fetched or compiled later.

        On a GPU the cost of a pass is measured, which takes a few seconds.

        Args:
            settings: what to load, and how.
            head: what kind of model it is.
            on_device_lost: called once the device fails at everything.

        Raises:
            ModelLoadError: the model cannot be loaded, or fails the self-test.
        """

        def load() -> tuple[EncoderModel, PassCost]:
            model = load_model(settings, head)
            check_known_answers(model, settings)
            cost = pass_cost(model, settings)
            warm_up(model, cost)
            return model, cost

        model, cost = in_own_thread(load)
        logger.info("%s is ready on %s in %s.", settings.model, model.device, model.precision)
        return cls(model, cost, settings, on_device_lost)

    @property
    def max_batch_tokens(self) -> int:
        """Tokens a forward pass may hold now, padding included."""
        return self._scheduler.max_batch_tokens

    @property
    def num_queued_texts(self) -> int:
        """Texts waiting for a forward pass."""
        return self._scheduler.num_waiting

    @property
    def cache_mib(self) -> float:
        """MiB of answers that are kept, about."""
        return self._cache.num_bytes / MIB

    def num_dropped(self, texts: Sequence[str], max_length: int) -> NDArray[np.int32]:
        """How many tokens of each text the model would not see; shape (texts,)."""
        return self.model.tokenizer.encode(texts, self.effective_max_length(max_length)).num_dropped

    def effective_max_length(self, max_length: int) -> int:
        """`max_length`, or what the model can take if that is less."""
        return min(max_length, self.model.max_tokens)

    def run(
        self,
        texts: Sequence[str],
        max_length: int,
        offer_cancel: Callable[[Callable[[], object]], None] = lambda cancel: None,
        *,
        in_windows: bool = False,
    ) -> Outcome:
        """Run texts together; blocks until they are done.

        Args:
            texts: the texts.
            max_length: tokens of a text that the model may see.
            offer_cancel: given a function that any thread may call to take the texts out of the queue.
            in_windows: read texts with more tokens in windows of `max_length`, rather than cut them off.

        Raises:
            QueueFullError: too much is waiting; nothing was queued.
            EngineStoppedError: the engine is closed.
            ForwardPassError: the model failed on these texts.
            DeviceLostError: the device is gone; the engine stops.
            concurrent.futures.CancelledError: it was cancelled.
        """
        arrived_at = time.monotonic()
        with self._admitted(texts, max_length, in_windows) as encoded:
            [pending] = self._submit([encoded], arrived_at)
            offer_cancel(pending.cancel)
            outcome = pending.outcome()
            self._count(encoded, outcome, arrived_at)
            return outcome

    @contextmanager
    def run_chunks(
        self, chunks: Sequence[Sequence[str]], max_length: int, *, in_windows: bool = False
    ) -> Iterator[Chunks]:
        """Run texts chunk by chunk; a chunk may be empty.

        Entering the block admits the texts and queues the first of them; iterating gives each chunk's outcome, in input
        order, as soon as it is there. Texts left when the block ends leave the queue.

        Raises:
            QueueFullError, EngineStoppedError: on entering, as `run`.
            EngineStoppedError, ForwardPassError: while iterating, perhaps after some chunks.
            concurrent.futures.CancelledError: while iterating, after `Chunks.cancel`.
        """
        arrived_at = time.monotonic()
        with self._admitted([text for chunk in chunks for text in chunk], max_length, in_windows) as encoded:
            ends = list(accumulate(map(len, chunks)))
            outcomes = Chunks(
                [encoded.part(end - len(chunk), end) for chunk, end in zip(chunks, ends, strict=True)],
                lambda parts: self._submit(parts, arrived_at),
                lambda first: self._count(encoded, first, arrived_at),
            )
            try:
                yield outcomes
            finally:
                outcomes.cancel()

    @property
    def is_ready(self) -> bool:
        """Whether a request would be admitted if the queue had room."""
        return self._limit.is_open

    def _lose_device(self) -> None:
        self.stop_admitting()
        self._on_device_lost()

    def stop_admitting(self) -> None:
        """Refuse new requests from now on; those admitted are answered."""
        self._limit.close()

    def close(self) -> None:
        """Take no more requests, finish what is queued, stop the worker."""
        self.stop_admitting()
        self._scheduler.close()

    @contextmanager
    def _admitted(self, texts: Sequence[str], max_length: int, in_windows: bool) -> Iterator[EncodedTexts]:
        """Encode a request and hold its place among the queued tokens until it has been answered."""
        self._limit.check_open()
        stride = self._window_stride if in_windows else None
        encoded = self.model.tokenizer.encode(texts, self.effective_max_length(max_length), stride)
        with self._limit.place(encoded.rows.num_tokens), self.stats.request_in_flight():
            yield encoded

    def _count(self, encoded: EncodedTexts, first: Outcome, arrived_at: float) -> None:
        num_truncated = int(np.count_nonzero(encoded.num_dropped))
        self.stats.count_request(len(encoded), num_truncated, time.monotonic() - arrived_at, first.queue_time_s)

    def _submit(self, parts: Sequence[EncodedTexts], arrived_at: float) -> list[Pending]:
        """Queue texts, a group for each part."""
        asked = self._ask([part.rows for part in parts])
        return [Pending(self, part, each, arrived_at) for part, each in zip(parts, asked, strict=True)]

    def _ask(self, parts: list[TokenRows]) -> list[Asked]:
        """Queue rows, a group for each part, but those whose outputs are there or on their way."""
        asked = []
        for rows in parts:
            outputs: Future[Outputs] = Future()
            known = self._cache.look_up(rows, outputs)
            group = TextGroup(rows.select(known.missing) if known.found else rows, outputs)
            asked.append(Asked(rows, group, known.missing, known.found))
            self.stats.count_cache(len(known.found), len(known.missing))
        try:
            self._scheduler.submit([each.group for each in asked])
        except EngineStoppedError:
            # Others may wait for these rows already.
            for each in asked:
                each.group.future.cancel()
            raise
        return asked

    def _outputs(self, asked: Asked) -> Outputs:
        """Wait for the outputs of all rows."""
        computed = asked.group.future.result()
        if not asked.found:
            return computed
        outputs = np.empty((len(asked.rows), self.model.num_outputs), np.float32)
        outputs[asked.missing] = computed
        lost = fill_in(outputs, asked.found)
        if len(lost):
            rows = asked.rows.select(lost)
            self._cache.forget(rows)
            [again] = self._ask([rows])
            outputs[lost] = self._outputs(again)
        return outputs

    def outcome(self, encoded: EncodedTexts, asked: Asked, arrived_at: float) -> Outcome:
        """Wait for what was asked for these texts."""
        outputs = self._outputs(asked)
        started_at = asked.group.usage.started_at
        return Outcome(
            labels=self.model.labels,
            answers=text_means(self.model.head.answers(outputs), encoded.num_windows, encoded.weights),
            outputs=text_means(outputs, encoded.num_windows, encoded.weights),
            num_tokens=encoded.num_tokens,
            num_dropped=encoded.num_dropped,
            num_windows=encoded.num_windows,
            num_tokens_run=encoded.rows.num_tokens,
            queue_time_s=0.0 if started_at is None else started_at - arrived_at,
            usage=asked.group.usage,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """Texts that are in the queue or in a pass; a `PendingOutcome`."""

    _engine: Engine
    _encoded: EncodedTexts
    _asked: Asked
    _arrived_at: float

    def outcome(self) -> Outcome:
        """Wait for it."""
        return self._engine.outcome(self._encoded, self._asked, self._arrived_at)

    def cancel(self) -> None:
        """Take what has no answer yet out of the queue. Any thread may."""
        self._asked.group.future.cancel()
