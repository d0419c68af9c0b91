"""What a cord calls: prompts in, completions out as they finish. The scheduler is transformers' continuous batching.

A classifier runs a text once, a generator runs it once for every token: a request joins and leaves the batch between
two steps, keys and values are kept in pages, and nothing is padded. That is another scheduler than
`batch_inference.scheduler`, and transformers has it.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

from batch_generation.completion import Completion, Completions
from batch_generation.prompts import PromptTokenizer
from batch_generation.reference_check import check_reference, reference_of
from batch_generation.sampling import Sampling, seeded_sampling
from batch_generation.settings import GeneratorSettings
from batch_generation.stats import GenerationStats
from batch_inference.caller import Caller
from batch_inference.checkpoint import load_checkpoint
from batch_inference.device import pick_device
from batch_inference.errors import (
    DeviceLostError,
    EngineStoppedError,
    ForwardPassError,
    ModelLoadError,
    first_line,
)
from batch_inference.queue_limit import QueueLimit
from batch_inference.turns import Turns, estimated_tokens, in_turns, likely_tokens

logger = logging.getLogger(__name__)

PAGE_TOKENS = 32
"""Tokens to a page of the cache: the last page of each request is half empty on average."""

MAX_REQUESTS_PER_STEP = 256
"""A step computes this many rows of logits at most. Rows of the default model's 152,000 words take 0.6 MB each."""

WARM_UP_TIMEOUT_S = 300.0

WAKE_UP_S = 0.5
"""How often the thread that hands out results looks whether it should end."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class _Prompt:
    """A prompt on its way through transformers."""

    completions: Completions
    order: int


class Generator:
    """Completes prompts of any number of threads on one model.

    Attributes:
        stats: the counters, also of errors that callers count.
        tokenizer: turns prompts into what `generating` takes.
        device, precision: where and in what the model runs.
        max_tokens: a prompt and its completion together may have so many.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        settings: GeneratorSettings,
        on_device_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.stats = GenerationStats()
        self.tokenizer = PromptTokenizer(tokenizer)
        self.device = str(model.device)
        self.precision = str(model.dtype).removeprefix("torch.")
        # Some have no positions to limit.
        positions = getattr(model.config, "max_position_embeddings", settings.cache_tokens)
        self.max_tokens = min(positions, settings.cache_tokens // 2)
        self._on_device_lost = on_device_lost
        self._end_tokens = _end_tokens(model, tokenizer)
        expected = reference_of(model, self.tokenizer, self._end_tokens)
        self._manager = _start_manager(model, settings, self._end_tokens)
        check_reference(self._manager, expected, self.precision)
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._prompts: dict[str, _Prompt] = {}
        self._limit = QueueLimit(settings.max_queued_tokens, self.stats.seconds_for, settings.queue_patience_s)
        self._tokenizing = Turns(os.cpu_count() or 1)
        self._is_closing = threading.Event()
        self._deliverer = threading.Thread(target=self._deliver, name="batch-generation", daemon=True)
        self._deliverer.start()

    @classmethod
    def start(cls, settings: GeneratorSettings, on_device_lost: Callable[[], None] = lambda: None) -> Generator:
        """Load the model and let it write a word, so that nothing is loaded, fetched or compiled later.

        Raises:
            ModelLoadError: the checkpoint is missing, unusable, or needs a device that is not there.
        """
        generator = cls(*_load(settings), settings, on_device_lost)
        logger.info("%s is ready on %s in %s.", settings.model, generator.device, generator.precision)
        return generator

    def encode(self, prompts: Sequence[str], max_new_tokens: int, caller: Caller) -> list[list[int]]:
        """Token ids of prompts, those of the chat template included.

        Raises:
            QueueFullError, EngineStoppedError: as `generating` would; nothing was tokenized.
            concurrent.futures.CancelledError: the caller has left.
        """
        self._limit.check_open()
        num_tokens = estimated_tokens(prompts, None) + len(prompts) * max_new_tokens
        with self._limit.slot(num_tokens):
            parts = in_turns(self._tokenizing, prompts, self.tokenizer.encode, caller)
        return list(itertools.chain.from_iterable(parts))

    @contextmanager
    def generating(
        self, prompts: Sequence[Sequence[int]], max_new_tokens: int, sampling: Sampling
    ) -> Iterator[Completions]:
        """Complete prompts, given as token ids; each and its completion may have `max_tokens` together.

        Entering the block admits the prompts, iterating gives their completions as they finish. What has not finished
        when the block ends is stopped.

        Raises:
            QueueFullError: on entering: too much is being worked on; nothing was queued.
            EngineStoppedError: on entering: the generator is closed.
            ForwardPassError, DeviceLostError: while iterating.
            concurrent.futures.CancelledError: while iterating, after `Completions.cancel`.
        """
        self._limit.check_open()
        # Completions count as long as they may become.
        num_tokens = sum(map(len, prompts)) + len(prompts) * max_new_tokens
        arrived_at = time.perf_counter()
        with self._limit.slot(num_tokens), self.stats.request_in_flight():
            completions = Completions(len(prompts))
            names = [f"{next(self._numbers)}" for _ in prompts]
            completions.on_cancel(lambda: self._cancel(names))
            try:
                for order, (name, prompt) in enumerate(zip(names, prompts, strict=True)):
                    self._submit(name, _Prompt(completions, order), prompt, max_new_tokens, sampling)
                yield completions
                if completions.first_started_at is not None and completions.num_awaited == 0:
                    queue_time_s = completions.first_started_at - arrived_at
                    self.stats.count_request(len(prompts), time.perf_counter() - arrived_at, queue_time_s)
            finally:
                completions.cancel()

    def check_room(self, num_texts: int, num_characters: int) -> None:
        """Say before any work for so many prompts whether it would be in vain, by their size.

        Raises:
            QueueFullError: it is a large request, and there is no room in the queue for it.
        """
        self._limit.check_room(likely_tokens(num_texts, num_characters, None))

    @property
    def num_queued_prompts(self) -> int:
        """Prompts without a finished completion."""
        return len(self._prompts)

    @property
    def is_ready(self) -> bool:
        """Whether a request would be admitted if there was room."""
        return self._limit.is_open

    def memory_gib(self) -> float | None:
        """GiB of device memory that tensors hold now; None on a CPU."""
        return None if self.device == "cpu" else torch.cuda.memory_allocated() / GIB

    def peak_memory_gib(self) -> float | None:
        """Most GiB of device memory that tensors ever held; None on a CPU."""
        return None if self.device == "cpu" else torch.cuda.max_memory_allocated() / GIB

    def stop_admitting(self) -> None:
        """Refuse new requests from now on; those admitted are answered."""
        self._limit.close()

    def close(self) -> None:
        """Take no more requests, finish those at work, and end the threads. A process with an open one does not end."""
        self.stop_admitting()
        self._manager.stop(block=True)
        self._is_closing.set()
        self._deliverer.join()

    def _submit(
        self, name: str, prompt: _Prompt, token_ids: Sequence[int], max_new_tokens: int, sampling: Sampling
    ) -> None:
        with self._lock:
            self._prompts[name] = prompt
        accepted = self._manager.add_request(
            list(token_ids), request_id=name, max_new_tokens=max_new_tokens, **sampling.arguments(prompt.order)
        )
        if accepted is None:
            raise EngineStoppedError

    def _cancel(self, names: Sequence[str]) -> None:
        with self._lock:
            unfinished = [name for name in names if self._prompts.pop(name, None)]
        for name in unfinished:
            self._manager.cancel_request(name)

    def _deliver(self) -> None:
        """Hand out results until closed. Runs on a thread of its own."""
        while not self._is_closing.is_set():
            output = self._manager.get_result(timeout=WAKE_UP_S)
            if output is not None:
                self._hand_out(output)
            elif self._manager.background_thread_status.fatal_error is not None:
                self._give_up()
                return

    def _hand_out(self, output: Any) -> None:
        with self._lock:
            # None if it was cancelled meanwhile.
            prompt = self._prompts.pop(output.request_id, None)
        if prompt is None:
            return
        if output.error is not None:
            logger.error("Generation failed: %s", output.error)
            prompt.completions.fail(ForwardPassError("the model failed on this request"))
            return
        token_ids = output.generated_tokens
        self.stats.count_completion(len(output.prompt_ids), len(token_ids))
        is_ended = bool(token_ids) and token_ids[-1] in self._end_tokens
        prompt.completions.put(
            Completion(
                order=prompt.order,
                text=self.tokenizer.decode(token_ids),
                finish_reason="stop" if is_ended else "length",
                num_prompt_tokens=len(output.prompt_ids),
                num_completion_tokens=len(token_ids),
                started_at=output.lifespan[0],
            )
        )

    def _give_up(self) -> None:
        """transformers' loop has ended over an error, after which its cache cannot be trusted."""
        error = DeviceLostError(f"the generation loop has ended: {self._manager.background_thread_status.fatal_error}")
        logger.critical("%s", error)
        self.stop_admitting()
        with self._lock:
            prompts, self._prompts = list(self._prompts.values()), {}
        for prompt in prompts:
            prompt.completions.fail(error)
        self._on_device_lost()


def _load(settings: GeneratorSettings) -> tuple[Any, Any]:
    """Model and tokenizer."""
    device = pick_device(settings)
    precision = settings.precision
    if precision == "auto":
        precision = "float32" if device == "cpu" else "bfloat16"
    if device != "cpu":
        torch.cuda.set_per_process_memory_fraction(settings.gpu_memory_fraction, device)
    kind = "a checkpoint of a causal language model"
    tokenizer, model = load_checkpoint(settings, AutoModelForCausalLM, kind, device, DTYPES[precision])
    return model, tokenizer


def _start_manager(model: Any, settings: GeneratorSettings, end_tokens: Sequence[int]) -> Any:
    """transformers' manager, running. Of the checkpoint's generation settings only the tokens that end a text count."""
    config = GenerationConfig(do_sample=False, eos_token_id=list(end_tokens), pad_token_id=0)
    batching = ContinuousBatchingConfig(
        page_size=PAGE_TOKENS,
        num_blocks=settings.cache_tokens // PAGE_TOKENS,
        max_batch_tokens=settings.max_batch_tokens,
        max_requests_per_batch=MAX_REQUESTS_PER_STEP,
        # Would look for kernels on the hub.
        auto_switch_to_flash=False,
    )
    try:
        manager = model.init_continuous_batching(generation_config=config, continuous_batching_config=batching)
    # What kinds of models it does not know.
    except Exception as error:
        reason = first_line(error)
        raise ModelLoadError(f"the model cannot generate in batches: {reason} Use another checkpoint.") from error
    manager.logit_processor = seeded_sampling()
    manager.start()
    _warm_up(manager)
    return manager


def _warm_up(manager: Any) -> None:
    """Run two steps, so that nothing is loaded, fetched or compiled later.

    Raises:
        ModelLoadError: the model cannot generate.
    """
    manager.add_request([1], max_new_tokens=2, **Sampling(1.0, 0).arguments(0))
    output = manager.get_result(timeout=WARM_UP_TIMEOUT_S)
    if output is None or output.error is not None:
        manager.stop(block=False, hard_stop=True)
        reason = manager.background_thread_status.fatal_error or "it answers nothing"
        raise ModelLoadError(f"the model cannot generate: {reason}")


def _end_tokens(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Tokens after which the model says no more: instruct models have several."""
    declared = model.generation_config.eos_token_id
    if declared is None:
        declared = tokenizer.eos_token_id
    if declared is None:
        return ()
    return (declared,) if isinstance(declared, int) else tuple(declared)
