"""What a cord, a benchmark or an offline job calls: texts in, outcomes out."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from batch_inference.admitted import AdmittedTexts
from batch_inference.answer_cache import AnswerCache
from batch_inference.caller import Caller
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
from batch_inference.tokenizer import EncodedTexts
from batch_inference.turns import Turns, estimated_tokens, in_turns

logger = logging.getLogger(__name__)

MIB: Final = 2**20


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
        self._limit = QueueLimit(settings.max_queued_tokens, self.stats.seconds_for, settings.queue_patience_s)
        self._tokenizing = Turns(os.cpu_count() or 1)
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

    def effective_max_length(self, max_length: int) -> int:
        """`max_length`, or what the model can take if that is less."""
        return min(max_length, self.model.max_tokens)

    def run(
        self, texts: Sequence[str], max_length: int, caller: Caller | None = None, *, in_windows: bool = False
    ) -> Outcome:
        """Run texts together; blocks until they are done.

        Raises:
            as `admitted`, and as `AdmittedTexts.run`.
        """
        with self.admitted(texts, max_length, caller, in_windows=in_windows) as admitted:
            return admitted.run()

    @contextmanager
    def admitted(
        self, texts: Sequence[str], max_length: int, caller: Caller | None = None, *, in_windows: bool = False
    ) -> Iterator[AdmittedTexts]:
        """Admit and tokenize texts, for as long as the block lasts. Texts left when it ends leave the queue.

        Args:
            texts: the texts.
            max_length: tokens of a text that the model may see.
            caller: when it leaves, so do the texts.
            in_windows: read texts with more tokens in windows of `max_length`, rather than cut them off.

        Raises:
            QueueFullError: too much is waiting; nothing was queued.
            EngineStoppedError: the engine is closed.
            concurrent.futures.CancelledError: the caller has left.
        """
        self._limit.check_open()
        caller = caller or Caller()
        arrived_at = time.monotonic()
        max_length = self.effective_max_length(max_length)
        stride = self._window_stride if in_windows else None

        def encode(part: Sequence[str]) -> EncodedTexts:
            return self.model.tokenizer.encode(part, max_length, stride)

        num_tokens = estimated_tokens(texts, None if in_windows else max_length)
        with self._limit.slot(num_tokens) as slot, self.stats.request_in_flight():
            encoded = EncodedTexts.joined(in_turns(self._tokenizing, texts, encode, caller))
            slot.resize(encoded.rows.num_tokens)
            submit, stats = self._scheduler.submit, self.stats
            admitted = AdmittedTexts(encoded, self.model, self._cache, submit, stats, caller, arrived_at)
            try:
                yield admitted
            finally:
                admitted.cancel()

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
