"""What a cord, a benchmark or an offline job calls: texts in, outcomes out."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from batch_inference.admitted import AdmittedTexts
from batch_inference.admitted_for_several import AdmittedForSeveral
from batch_inference.answer_cache import AnswerCache
from batch_inference.budget import Budget
from batch_inference.caller import Caller
from batch_inference.heads import Head
from batch_inference.model import EncoderModel
from batch_inference.outcome import Outcome
from batch_inference.own_thread import in_own_thread
from batch_inference.queue_limit import Projection, QueueLimit
from batch_inference.scheduled_model import ScheduledModel
from batch_inference.scheduler import Scheduler
from batch_inference.served_model import ServedModel
from batch_inference.settings import EncoderSettings
from batch_inference.shared_tokenizers import encode_for_each
from batch_inference.start_up import Loaded, Source, load_all
from batch_inference.stats import Stats
from batch_inference.token_rows import TokenRows
from batch_inference.tokenizer import EncodedTexts, TextTokenizer
from batch_inference.turns import Turns, estimated_tokens, in_turns, likely_tokens

logger = logging.getLogger(__name__)

MIB: Final = 2**20

USUAL_MAX_LENGTH: Final = 512
"""Tokens of a text that the model may see where a request says nothing of it."""


class Engine:
    """Runs texts of any number of threads on one model, or on several: one queue, one worker, a model at a time.

    Args:
        loaded: the models, of different names; the settings of the first are the engine's.
        on_device_lost: called once the device fails at everything.

    Attributes:
        served: the models by their names; the first of them is meant where none is named.
        stats: the counters, also of errors that callers of the engine count.
    """

    def __init__(self, loaded: Sequence[Loaded], on_device_lost: Callable[[], None] = lambda: None) -> None:
        settings = loaded[0][0]
        self.stats = Stats([model.head.name for _, model, _ in loaded])
        cache_bytes = settings.answer_cache_mib * MIB // len(loaded)
        self.served = {
            model.head.name: ServedModel(
                own, model, Budget(cost), AnswerCache(cache_bytes), self.stats.of(model.head.name)
            )
            for own, model, cost in loaded
        }
        self._first = next(iter(self.served.values()))
        self._window_stride = settings.window_stride
        self._limit = QueueLimit(settings.max_queued_tokens, self.stats.seconds_for, settings.queue_patience_s)
        self._tokenizing = Turns(os.cpu_count() or 1)
        self._on_device_lost = on_device_lost
        self._scheduler = Scheduler(
            {name: ScheduledModel(served.model, served.budget) for name, served in self.served.items()},
            self.stats.count_pass,
            self._lose_device,
            min(served.model.max_in_flight for served in self.served.values()),
            None if self.model.device == "cpu" else settings.pass_timeout_s,
        )

    @classmethod
    def start(
        cls,
        settings: EncoderSettings,
        head: Head,
        on_device_lost: Callable[[], None] = lambda: None,
        further: Sequence[Source] = (),
    ) -> Engine:
        """Load the model, test it, and run it at its fullest, so that nothing is loaded, fetched or compiled later.

        On a GPU the cost of a pass is measured, which takes a few seconds.

        Args:
            settings: what to load, and how.
            head: what kind of model it is.
            on_device_lost: called once the device fails at everything.
            further: models to be loaded beside it, each with a name of its own.

        Raises:
            ModelLoadError: a model cannot be loaded, or fails the self-test.
        """

        return cls(in_own_thread(lambda: load_all([(settings, head), *further])), on_device_lost)

    @property
    def model(self) -> EncoderModel:
        """What is loaded; of several models, the first."""
        return self._first.model

    def served_by(self, name: str | None) -> ServedModel:
        """The model of this name, or the first."""
        return self._first if name is None else self.served[name]

    @property
    def max_batch_tokens(self) -> int:
        """Tokens a forward pass may hold now, padding included; of several models, the first one's."""
        return self._first.budget.cost.max_batch_tokens

    @property
    def num_queued_texts(self) -> int:
        """Texts waiting for a forward pass."""
        return self._scheduler.num_waiting

    @property
    def cache_mib(self) -> float:
        """MiB of answers that are kept, about."""
        return sum(served.cache.num_bytes for served in self.served.values()) / MIB

    def effective_max_length(self, max_length: int) -> int:
        """`max_length`, or what the model can take if that is less; of several models, the first."""
        return self._first.effective_max_length(max_length)

    def run(
        self,
        texts: Sequence[str],
        max_length: int,
        caller: Caller | None = None,
        *,
        in_windows: bool = False,
        model: str | None = None,
    ) -> Outcome:
        """Run texts together; blocks until they are done.

        Raises:
            as `admitted`, and as `AdmittedTexts.run`.
        """
        with self.admitted(texts, max_length, caller, in_windows=in_windows, model=model) as admitted:
            return admitted.run()

    def check_room(self, num_texts: int, num_characters: int) -> None:
        """Say before any work for a request whether it would be in vain, by its size and the usual `max_length`.

        Raises:
            QueueFullError: it is a large one, and there is no room in the queue for it.
        """
        max_length = self._first.effective_max_length(USUAL_MAX_LENGTH)
        self._limit.check_room(likely_tokens(num_texts, num_characters, max_length))

    @contextmanager
    def admitted(
        self,
        texts: Sequence[str],
        max_length: int,
        caller: Caller | None = None,
        *,
        in_windows: bool = False,
        model: str | None = None,
    ) -> Iterator[AdmittedTexts]:
        """Admit and tokenize texts, for as long as the block lasts. Texts left when it ends leave the queue.

        Args:
            texts: the texts.
            max_length: tokens of a text that the model may see.
            caller: when it leaves, so do the texts.
            in_windows: read texts with more tokens in windows of `max_length`, rather than cut them off.
            model: the name of the model that runs them; the first one if None.

        Raises:
            QueueFullError: too much is waiting; nothing was queued.
            EngineStoppedError: the engine is closed.
            concurrent.futures.CancelledError: the caller has left.
        """
        self._limit.check_open()
        caller = caller or Caller()
        arrived_at = time.monotonic()
        served = self.served_by(model)
        max_length = served.effective_max_length(max_length)
        stride = self._window_stride if in_windows else None

        def encode(part: Sequence[str]) -> EncodedTexts:
            encoded = served.model.tokenizer.encode(part, max_length, stride)
            projection.add(part, encoded.rows.num_tokens)
            return encoded

        num_tokens = estimated_tokens(texts, None if in_windows else max_length)
        with self._limit.slot(num_tokens) as slot, self.stats.request_in_flight():
            projection = Projection(slot, texts)
            encoded = EncodedTexts.joined(in_turns(self._tokenizing, texts, encode, caller))
            submit, stats = self._scheduler.submit, self.stats
            admitted = AdmittedTexts(encoded, max_length, served, submit, stats, caller, arrived_at)
            try:
                yield admitted
            finally:
                admitted.cancel()

    @contextmanager
    def admitted_for_several(
        self,
        models: Sequence[str],
        texts: Sequence[str],
        max_length: int,
        caller: Caller | None = None,
        *,
        in_windows: bool = False,
    ) -> Iterator[AdmittedForSeveral]:
        """Admit texts for several models at once: tokenized once for all that have the same tokenizer.

        Args:
            models: their names, one or more, each once.
            texts, max_length, caller, in_windows: as `admitted` has them, of each model.

        Raises:
            as `admitted`.
        """
        self._limit.check_open()
        caller = caller or Caller()
        arrived_at = time.monotonic()
        served = [self.served[name] for name in models]
        limits = [each.effective_max_length(max_length) for each in served]
        stride = self._window_stride if in_windows else None

        def encode(tokenizer: TextTokenizer) -> TokenRows:
            return TokenRows.joined(in_turns(self._tokenizing, texts, tokenizer.encode_whole, caller))

        num_tokens = sum(estimated_tokens(texts, None if in_windows else limit) for limit in limits)
        with self._limit.slot(num_tokens) as slot, self.stats.request_in_flight():
            encoded = encode_for_each(served, max_length, stride, encode)
            slot.resize(sum(each.rows.num_tokens for each in encoded))
            submit, stats = self._scheduler.submit, self.stats
            by_model = {
                each.name: AdmittedTexts(rows, limit, each, submit, stats, caller, arrived_at)
                for each, rows, limit in zip(served, encoded, limits, strict=True)
            }
            admitted = AdmittedForSeveral(by_model, submit, stats, caller, arrived_at)
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
