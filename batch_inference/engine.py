"""What a cord, a benchmark or an offline job calls: texts in, predictions out."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from batch_inference.errors import EngineStoppedError, QueueFullError
from batch_inference.model import SentimentModel
from batch_inference.planner import PassCost
from batch_inference.scheduler import PassUsage, Scheduler, TextGroup
from batch_inference.self_test import self_test
from batch_inference.settings import Settings
from batch_inference.stats import Stats
from batch_inference.tokenizer import EncodedTexts
from batch_inference.tuning import measure_budgets, pick_cost

logger = logging.getLogger(__name__)

PADDED_CPU_COST: Final = PassCost(max_batch_tokens=2048, overhead_tokens=64)
PACKED_CPU_OVERHEAD_TOKENS: Final = 32
PACKED_CPU_ACTIVATION_FLOATS: Final = 3 * 2**20
"""Numbers in the widest activation of a pass: 2,048 tokens of the bundled model, 1,024 of RoBERTa-base. Found with
`make tune` and the bench on two cores; larger passes are no faster, and begin to leave the cache."""

GPU_BUDGETS: Final = [2**power for power in range(9, 18)]
GPU_TUNING_REPEATS: Final = 5

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
        num_tokens: tokens of each text that the model saw, special tokens included, padding not; shape (texts,).
        num_dropped: tokens of each text beyond those; shape (texts,).
        queue_time_s: seconds from the request's arrival to the first forward pass that held one of these texts.
        usage: the forward passes that held these texts.
    """

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    num_tokens: NDArray[np.int32]
    num_dropped: NDArray[np.int32]
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


class Chunks(Iterator[Classification]):
    """The answers to a request's chunks, in input order."""

    def __init__(self, answers: Iterator[Classification], groups: list[TextGroup]) -> None:
        self._answers = answers
        self._groups = groups

    def __next__(self) -> Classification:
        return next(self._answers)

    def cancel(self) -> None:
        """Take what has no answer yet out of the queue; whoever waits for it gets a CancelledError. Any thread may."""
        for group in self._groups:
            group.future.cancel()


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
        max_queued_tokens: int,
        on_device_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.model = model
        self.stats = Stats()
        self._max_queued_tokens = max_queued_tokens
        self._admitted_tokens = 0
        self._is_admitting = True
        self._lock = threading.Lock()
        self._on_device_lost = on_device_lost
        self._scheduler = Scheduler(model, cost, self.stats.count_pass, self._lose_device)

    @classmethod
    def start(cls, settings: Settings, on_device_lost: Callable[[], None] = lambda: None) -> Engine:
        """Load the model, test it, and run it at its fullest, so that nothing is loaded, fetched or compiled later.

        On a GPU the cost of a pass is measured, which takes a few seconds.

        Raises:
            ModelLoadError: the model cannot be loaded, or fails the self-test.
        """
        model = SentimentModel.load(settings)
        self_test(model, settings)
        cost = _pass_cost(model, settings)
        _warm_up(model, cost)
        logger.info("%s is ready on %s in %s.", settings.model, model.device, model.precision)
        return cls(model, cost, settings.max_queued_tokens, on_device_lost)

    @property
    def max_batch_tokens(self) -> int:
        """Tokens a forward pass may hold now, padding included."""
        return self._scheduler.max_batch_tokens

    @property
    def num_queued_texts(self) -> int:
        """Texts waiting for a forward pass."""
        return self._scheduler.num_waiting

    def effective_max_length(self, max_length: int) -> int:
        """`max_length`, or what the model can take if that is less."""
        return min(max_length, self.model.max_tokens)

    def classify(
        self,
        texts: Sequence[str],
        max_length: int,
        offer_cancel: Callable[[Callable[[], object]], None] = lambda cancel: None,
    ) -> Classification:
        """Classify texts together; blocks until they are done.

        Args:
            texts: the texts.
            max_length: tokens of a text that the model may see.
            offer_cancel: given a function that any thread may call to take the texts out of the queue.

        Raises:
            QueueFullError: too much is waiting; nothing was queued.
            EngineStoppedError: the engine is closed.
            ForwardPassError: the model failed on these texts.
            DeviceLostError: the device is gone; the engine stops.
            concurrent.futures.CancelledError: it was cancelled.
        """
        arrived_at = time.monotonic()
        with self._admitted(texts, max_length) as encoded:
            group = TextGroup(encoded.rows)
            self._scheduler.submit([group])
            offer_cancel(group.future.cancel)
            group.future.result()
            self._count(encoded, group, arrived_at)
            return self._classification(encoded, group, arrived_at)

    @contextmanager
    def classify_chunks(self, chunks: Sequence[Sequence[str]], max_length: int) -> Iterator[Chunks]:
        """Classify texts chunk by chunk; a chunk may be empty.

        Entering the block admits the texts and queues the first of them; iterating gives each chunk's answer, in input
        order, as soon as it is there. Texts left when the block ends leave the queue.

        Raises:
            QueueFullError, EngineStoppedError: on entering, as `classify`.
            EngineStoppedError, ForwardPassError: while iterating, perhaps after some chunks.
            concurrent.futures.CancelledError: while iterating, after `Chunks.cancel`.
        """
        arrived_at = time.monotonic()
        with self._admitted([text for chunk in chunks for text in chunk], max_length) as encoded:
            ends = list(accumulate(map(len, chunks)))
            parts = [encoded.part(end - len(chunk), end) for chunk, end in zip(chunks, ends, strict=True)]
            groups = [TextGroup(part.rows) for part in parts]
            num_ahead = max(MIN_CHUNKS_AHEAD, -(-MIN_TEXTS_AHEAD // max(1, *map(len, chunks))))
            self._scheduler.submit(groups[:num_ahead])

            def answers() -> Iterator[Classification]:
                for number, (part, group) in enumerate(zip(parts, groups, strict=True)):
                    group.future.result()
                    self._scheduler.submit(groups[number + num_ahead : number + num_ahead + 1])
                    yield self._classification(part, group, arrived_at)
                self._count(encoded, groups[0], arrived_at)

            answered = Chunks(answers(), groups)
            try:
                yield answered
            finally:
                answered.cancel()

    @property
    def is_ready(self) -> bool:
        """Whether a request would be admitted if the queue had room."""
        return self._is_admitting

    def _lose_device(self) -> None:
        self.stop_admitting()
        self._on_device_lost()

    def stop_admitting(self) -> None:
        """Refuse new requests from now on; those admitted are answered."""
        self._is_admitting = False

    def close(self) -> None:
        """Take no more requests, finish what is queued, stop the worker."""
        self.stop_admitting()
        self._scheduler.close()

    @contextmanager
    def _admitted(self, texts: Sequence[str], max_length: int) -> Iterator[EncodedTexts]:
        """Encode a request and hold its place among the queued tokens until it has been answered."""
        if not self._is_admitting:
            raise EngineStoppedError("the service is shutting down; send the request to another instance")
        encoded = self.model.tokenizer.encode(texts, self.effective_max_length(max_length))
        num_tokens = encoded.rows.num_tokens
        with self._lock:
            # A request larger than the whole queue is still served when it has the queue to itself.
            if self._admitted_tokens and self._admitted_tokens + num_tokens > self._max_queued_tokens:
                raise self._queue_full(num_tokens)
            self._admitted_tokens += num_tokens
        try:
            with self.stats.request_in_flight():
                yield encoded
        finally:
            with self._lock:
                self._admitted_tokens -= num_tokens

    def _queue_full(self, num_tokens: int) -> QueueFullError:
        """The refusal of a request of so many tokens; a place is likely once those in its way have been run."""
        in_the_way = min(self._admitted_tokens, self._admitted_tokens + num_tokens - self._max_queued_tokens)
        retry_after_s = max(1, math.ceil(self.stats.seconds_for(in_the_way)))
        return QueueFullError(
            f"the queue is full: this request has {num_tokens} tokens, {self._admitted_tokens} of "
            f"{self._max_queued_tokens} are taken; try again in {retry_after_s} s",
            retry_after_s,
        )

    def _count(self, encoded: EncodedTexts, first: TextGroup, arrived_at: float) -> None:
        num_truncated = int(np.count_nonzero(encoded.num_dropped))
        latency_s = time.monotonic() - arrived_at
        self.stats.count_request(len(encoded), num_truncated, latency_s, _queue_time_s(first, arrived_at))

    def _classification(self, encoded: EncodedTexts, group: TextGroup, arrived_at: float) -> Classification:
        queue_time_s = _queue_time_s(group, arrived_at)
        probabilities = group.future.result()
        return Classification(
            self.model.labels, probabilities, encoded.rows.lengths, encoded.num_dropped, queue_time_s, group.usage
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
        cost = pick_cost(measure_budgets(model, GPU_BUDGETS, GPU_TUNING_REPEATS))
    if settings.max_batch_tokens == "auto":
        return cost
    return replace(cost, max_batch_tokens=settings.max_batch_tokens)


def _packed_cpu_cost(inner_size: int) -> PassCost:
    budget = max(1, PACKED_CPU_ACTIVATION_FLOATS // inner_size)
    return PassCost(budget, PACKED_CPU_OVERHEAD_TOKENS, is_padded=False)
