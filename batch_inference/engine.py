"""What a cord, a benchmark or an offline job calls: texts in, predictions out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from batch_inference.answer_cache import AnswerCache, Outputs, Place, fill_in
from batch_inference.errors import EngineStoppedError
from batch_inference.heads import Head
from batch_inference.model import SentimentModel
from batch_inference.own_thread import in_own_thread
from batch_inference.planner import PassCost
from batch_inference.queue_limit import QueueLimit
from batch_inference.scheduler import PassUsage, Scheduler, TextGroup
from batch_inference.settings import Settings
from batch_inference.stats import Stats
from batch_inference.token_rows import Indices, TokenRows
from batch_inference.tokenizer import EncodedTexts
from batch_inference.tuning import measure_budgets, pick_cost
from batch_inference.windows import text_means

logger = logging.getLogger(__name__)

PADDED_CPU_COST: Final = PassCost(max_batch_tokens=2048, overhead_tokens=64)
PACKED_CPU_OVERHEAD_TOKENS: Final = 32
PACKED_CPU_ACTIVATION_FLOATS: Final = 3 * 2**20
"""Numbers in the widest activation of a pass: 2,048 tokens of the bundled model, 1,024 of RoBERTa-base. Found with
`make tune` and the bench on two cores; larger passes are no faster, and begin to leave the cache."""

GPU_BUDGETS: Final = [2**power for power in range(9, 18)]
GPU_TUNING_REPEATS: Final = 5

MIB: Final = 2**20

MIN_CHUNKS_AHEAD: Final = 2
MIN_TEXTS_AHEAD: Final = 32
"""How much of a stream is queued at a time: enough to fill passes, little enough that its chunks finish in order."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The model's answer for one text.

    Attributes:
        label: the most probable label, upper case.
        confidence: its probability.
        scores: every label's probability, in the order of the model's outputs.
        num_tokens: tokens the model saw, special tokens included, padding not.
        is_truncated: the text had more tokens than that.
    """

    label: str
    confidence: float
    scores: dict[str, float]
    num_tokens: int
    is_truncated: bool


@dataclass(frozen=True, slots=True)
class Classification:
    """The model's answers in the order of the texts, and what they cost.

    Attributes:
        labels: upper-case names, in the order of the model's outputs.
        probabilities: of each label; shape (texts, labels).
        logits: what the model answered, whose softmax the probabilities are; shape (texts, labels).
        num_tokens: tokens of each text that the model saw, special tokens included, padding not; shape (texts,).
        num_dropped: tokens of each text beyond those; shape (texts,).
        num_windows: windows that each text was read in; shape (texts,). If there were several, probabilities and
            logits are means over them, weighted by the tokens that each adds.
        num_tokens_run: tokens of all rows: what windows have in common is counted in each.
        queue_time_s: seconds from the request's arrival to the first forward pass that held one of these texts.
        usage: the forward passes that held these texts.
    """

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]
    num_tokens: NDArray[np.int32]
    num_dropped: NDArray[np.int32]
    num_windows: NDArray[np.int32]
    num_tokens_run: int
    queue_time_s: float
    usage: PassUsage

    def __len__(self) -> int:
        return len(self.num_tokens)

    @property
    def predictions(self) -> list[Prediction]:
        """The same as one object per text, made anew."""
        return [
            Prediction(
                label=self.labels[best],
                confidence=probabilities[best],
                scores=dict(zip(self.labels, probabilities, strict=True)),
                num_tokens=num_tokens,
                is_truncated=num_dropped > 0,
            )
            for best, probabilities, num_tokens, num_dropped in zip(
                self.probabilities.argmax(axis=1).tolist(),
                self.probabilities.tolist(),
                self.num_tokens.tolist(),
                self.num_dropped.tolist(),
                strict=True,
            )
        ]


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


class Chunks(Iterator[Classification]):
    """The answers to a request's chunks, in input order."""

    def __init__(self) -> None:
        self.answers: Iterator[Classification] = iter(())
        self._asked: list[Asked] = []
        self._is_cancelled = False

    def __next__(self) -> Classification:
        return next(self.answers)

    def __getitem__(self, number: int) -> Asked:
        """What was asked for a chunk."""
        return self._asked[number]

    def add(self, asked: list[Asked]) -> None:
        """Further chunks that are in the queue."""
        self._asked += asked
        if self._is_cancelled:
            self.cancel()

    def cancel(self) -> None:
        """Take what has no answer yet out of the queue; whoever waits for it gets a CancelledError. Any thread may."""
        self._is_cancelled = True
        for asked in tuple(self._asked):
            asked.group.future.cancel()


class Engine:
    """Classifies texts of any number of threads on one model.

    Attributes:
        model: what is loaded.
        stats: the counters, also of errors that callers of the engine count.
    """

    def __init__(
        self,
        model: SentimentModel,
        cost: PassCost,
        settings: Settings,
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
    def start(
        cls, settings: Settings, on_device_lost: Callable[[], None] = lambda: None, head: Head | None = None
    ) -> Engine:
        """Load the model, test it, and run it at its fullest, so that nothing is loaded, fetched or compiled later.

        `head` says what kind of model it is; a sentiment classifier if left out.

        On a GPU the cost of a pass is measured, which takes a few seconds.

        Raises:
            ModelLoadError: the model cannot be loaded, or fails the self-test.
        """

        def load() -> tuple[SentimentModel, PassCost]:
            model = SentimentModel.load(settings, head)
            model.head.self_test(model, settings)
            cost = _pass_cost(model, settings)
            _warm_up(model, cost)
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

    def classify(
        self,
        texts: Sequence[str],
        max_length: int,
        offer_cancel: Callable[[Callable[[], object]], None] = lambda cancel: None,
        *,
        in_windows: bool = False,
    ) -> Classification:
        """Classify texts together; blocks until they are done.

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
            [asked] = self._ask([encoded.rows])
            offer_cancel(asked.group.future.cancel)
            answer = self._classification(encoded, asked, arrived_at)
            self._count(encoded, asked.group, arrived_at)
            return answer

    @contextmanager
    def classify_chunks(
        self, chunks: Sequence[Sequence[str]], max_length: int, *, in_windows: bool = False
    ) -> Iterator[Chunks]:
        """Classify texts chunk by chunk; a chunk may be empty.

        Entering the block admits the texts and queues the first of them; iterating gives each chunk's answer, in input
        order, as soon as it is there. Texts left when the block ends leave the queue.

        Raises:
            QueueFullError, EngineStoppedError: on entering, as `classify`.
            EngineStoppedError, ForwardPassError: while iterating, perhaps after some chunks.
            concurrent.futures.CancelledError: while iterating, after `Chunks.cancel`.
        """
        arrived_at = time.monotonic()
        with self._admitted([text for chunk in chunks for text in chunk], max_length, in_windows) as encoded:
            ends = list(accumulate(map(len, chunks)))
            parts = [encoded.part(end - len(chunk), end) for chunk, end in zip(chunks, ends, strict=True)]
            num_ahead = max(MIN_CHUNKS_AHEAD, -(-MIN_TEXTS_AHEAD // max(1, *map(len, chunks))))
            chunks_asked = Chunks()
            chunks_asked.add(self._ask([part.rows for part in parts[:num_ahead]]))

            def answers() -> Iterator[Classification]:
                for number, part in enumerate(parts):
                    answer = self._classification(part, chunks_asked[number], arrived_at)
                    chunks_asked.add(self._ask([part.rows for part in parts[number + num_ahead :][:1]]))
                    yield answer
                self._count(encoded, chunks_asked[0].group, arrived_at)

            chunks_asked.answers = answers()
            try:
                yield chunks_asked
            finally:
                chunks_asked.cancel()

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

    def _count(self, encoded: EncodedTexts, first: TextGroup, arrived_at: float) -> None:
        num_truncated = int(np.count_nonzero(encoded.num_dropped))
        latency_s = time.monotonic() - arrived_at
        self.stats.count_request(len(encoded), num_truncated, latency_s, _queue_time_s(first, arrived_at))

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

    def _classification(self, encoded: EncodedTexts, asked: Asked, arrived_at: float) -> Classification:
        logits = self._outputs(asked)
        probabilities = text_means(self.model.head.answers(logits), encoded.num_windows, encoded.weights)
        return Classification(
            labels=self.model.labels,
            probabilities=probabilities,
            logits=text_means(logits, encoded.num_windows, encoded.weights),
            num_tokens=encoded.num_tokens,
            num_dropped=encoded.num_dropped,
            num_windows=encoded.num_windows,
            num_tokens_run=encoded.rows.num_tokens,
            queue_time_s=_queue_time_s(asked.group, arrived_at),
            usage=asked.group.usage,
        )


def _queue_time_s(group: TextGroup, arrived_at: float) -> float:
    return 0.0 if group.usage.started_at is None else group.usage.started_at - arrived_at


def _warm_up(model: SentimentModel, cost: PassCost) -> None:
    """Run texts of full length; on a CPU so many that no later pass needs much more memory.

    On a GPU one will do. More may not fit, if the budget was set by hand: the scheduler copes with that.
    """
    num_rows = max(1, cost.max_batch_tokens // model.max_tokens) if model.device == "cpu" else 1
    model.probabilities(model.tokenizer.encode(["ok " * model.max_tokens] * num_rows, model.max_tokens).rows)


def _pass_cost(model: SentimentModel, settings: Settings) -> PassCost:
    if model.device == "cpu":
        cost = PADDED_CPU_COST if model.is_padded else _packed_cpu_cost(model.inner_size)
    else:
        measured = pick_cost(measure_budgets(model, GPU_BUDGETS, GPU_TUNING_REPEATS))
        cost = replace(measured, is_padded=model.is_padded, is_by_arrival=not model.is_padded)
    if settings.max_batch_tokens == "auto":
        return cost
    return replace(cost, max_batch_tokens=settings.max_batch_tokens)


def _packed_cpu_cost(inner_size: int) -> PassCost:
    budget = max(1, PACKED_CPU_ACTIVATION_FLOATS // inner_size)
    return PassCost(budget, PACKED_CPU_OVERHEAD_TOKENS, is_padded=False)
