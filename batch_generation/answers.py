"""From a request on the wire to the generator, and from its completions back to the wire."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel

from batch_generation.completion import Completion, Completions
from batch_generation.generator import Generator
from batch_generation.sampling import Sampling
from batch_generation.settings import GeneratorSettings
from batch_generation.wire import (
    MAX_SEED,
    GeneratedText,
    GenerateRequest,
    GenerateResult,
    GenerationCompleted,
    GenerationFailed,
    GenerationFinished,
    GenerationInfo,
    GenerationMetrics,
    GenerationStarted,
    GeneratorStats,
    TextPart,
)
from batch_http.callers import caller_of
from batch_http.engine_stats import LatencyPercentiles
from batch_http.errors import counted_report
from batch_http.json_lines import MAX_WRITES, in_few_writes, json_line
from batch_http.model_cards import ModelCard, model_card
from batch_http.requests import Failure, InvalidRequest, Problem
from batch_inference.caller import Caller

MAX_PART_CHARACTERS = 10_000
"""Of a text in one line of a stream: a character takes six bytes at most, and a line may have 64 KiB."""


class GenerationJob:
    """One request: its prompts as token ids, and how they are to be completed.

    Raises:
        InvalidRequest: a prompt is too long for the model.
        QueueFullError, EngineStoppedError: nothing was tokenized.
        CancelledError: the caller has left.
    """

    def __init__(self, generator: Generator, request: GenerateRequest, caller: Caller) -> None:
        self._generator = generator
        self._caller = caller
        self.max_new_tokens = request.max_new_tokens
        self.sampling = Sampling(
            request.temperature, secrets.randbelow(MAX_SEED) if request.seed is None else request.seed
        )
        self.prompts = generator.encode(request.prompts, request.max_new_tokens, caller)
        _refuse_long(self.prompts, request.max_new_tokens, generator.max_tokens)

    @contextmanager
    def running(self) -> Iterator[Completions]:
        """Run it; answers come as they finish. When the caller leaves, the rest is cancelled.

        Raises:
            QueueFullError, EngineStoppedError: on entering.
        """
        with self._generator.generating(self.prompts, self.max_new_tokens, self.sampling) as completions:
            self._caller.on_leaving(completions.cancel)
            yield completions

    def info(self, settings: GeneratorSettings) -> GenerationInfo:
        """How it is run."""
        return GenerationInfo(
            model=settings.served_name,
            device=self._generator.device,
            precision=self._generator.precision,
            max_new_tokens=self.max_new_tokens,
            temperature=self.sampling.temperature,
            seed=self.sampling.seed,
        )


def generate_batch(
    generator: Generator, request: GenerateRequest, settings: GeneratorSettings, body: object = None
) -> GenerateResult:
    """Answer of `/generate-batch`."""
    started_at = time.perf_counter()
    with caller_of(body) as caller:
        job = GenerationJob(generator, request, caller)
        with job.running() as running:
            completions = sorted(running, key=lambda completion: completion.order)
    processing_time = time.perf_counter() - started_at
    num_completion_tokens = sum(completion.num_completion_tokens for completion in completions)
    return GenerateResult(
        results=[GeneratedText(**_fields(completion)) for completion in completions],
        total_prompts=len(completions),
        processing_time=processing_time,
        generation_info=job.info(settings),
        performance_metrics=GenerationMetrics(
            tokens_per_second=num_completion_tokens / processing_time,
            gpu_memory_used=generator.memory_gib(),
            total_prompt_tokens=sum(completion.num_prompt_tokens for completion in completions),
            total_completion_tokens=num_completion_tokens,
            queue_time=max(0.0, min(completion.started_at for completion in completions) - started_at),
        ),
    )


def stream_generation(
    generator: Generator, request: GenerateRequest, settings: GeneratorSettings, body: object = None
) -> Iterator[bytes]:
    """Answer of `/generate-batch-stream`: one or more JSON lines at a time, at most `MAX_WRITES` times.

    Raises:
        InvalidRequest, QueueFullError, EngineStoppedError, CancelledError: before the first yield. Later errors become
            a line.
    """
    with caller_of(body) as caller:
        job = GenerationJob(generator, request, caller)
        yield from event_writes(_events(generator, job, settings), len(job.prompts))


def event_writes(events: Iterator[BaseModel], num_results: int) -> Iterator[bytes]:
    """The events as JSON lines, several results to a write where there are many; the first event is written at once."""
    results_per_write = -(-num_results // (MAX_WRITES - 2))

    def lines() -> Iterator[tuple[bytes, bool]]:
        num_results = 0
        for event in events:
            num_results += isinstance(event, GenerationFinished)
            ends_write = isinstance(event, GenerationFinished) and num_results % results_per_write == 0
            yield json_line(event), ends_write or isinstance(event, GenerationStarted)

    return in_few_writes(lines())


def generator_card(generator: Generator, settings: GeneratorSettings) -> ModelCard:
    """The model, as `/v1/models` has it."""
    return model_card(settings, generator.max_tokens)


def generator_stats(generator: Generator, settings: GeneratorSettings) -> GeneratorStats:
    """Answer of `/batch-stats`."""
    counted = generator.stats.snapshot()
    return GeneratorStats(
        total_requests=counted.total_requests,
        total_prompts_processed=counted.total_texts,
        total_prompt_tokens=generator.stats.prompt_tokens,
        total_completion_tokens=generator.stats.completion_tokens,
        tokens_per_second=generator.stats.tokens_per_second,
        average_batch_time=counted.mean_request_s,
        peak_batch_size=counted.peak_texts,
        latency=LatencyPercentiles(p50=counted.latency_p50_s, p95=counted.latency_p95_s, p99=counted.latency_p99_s),
        requests_in_flight=counted.requests_in_flight,
        queued_prompts=generator.num_queued_prompts,
        device=generator.device,
        model_loaded=generator.is_ready,
        current_gpu_memory=generator.memory_gib(),
        max_gpu_memory=generator.peak_memory_gib(),
        model=settings.model,
        revision=settings.pinned_revision,
        precision=generator.precision,
        uptime=counted.uptime_s,
        errors=counted.errors,
    )


def _events(generator: Generator, job: GenerationJob, settings: GeneratorSettings) -> Iterator[BaseModel]:
    started_at = time.perf_counter()
    finished: list[Completion] = []
    with job.running() as completions:
        yield GenerationStarted(total_prompts=len(job.prompts), generation_info=job.info(settings))
        try:
            for completion in completions:
                finished.append(completion)
                yield from result_events(completion)
        except Exception as error:
            if report := counted_report(generator.stats, error):
                failure = Failure(code=report.kind, message=report.message)
                yield GenerationFailed(error=failure, completed_prompts=len(finished))
            return
    yield GenerationCompleted(
        total_time=time.perf_counter() - started_at,
        total_prompt_tokens=sum(completion.num_prompt_tokens for completion in finished),
        total_completion_tokens=sum(completion.num_completion_tokens for completion in finished),
    )


def result_events(completion: Completion) -> Iterator[BaseModel]:
    """A completion's lines of a stream: one, or several where the text is too long for one."""
    text = completion.text
    while len(text) > MAX_PART_CHARACTERS:
        yield TextPart(processing_order=completion.order, text=text[:MAX_PART_CHARACTERS])
        text = text[MAX_PART_CHARACTERS:]
    yield GenerationFinished(**{**_fields(completion), "text": text})


def _fields(completion: Completion) -> dict[str, object]:
    return {
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.num_prompt_tokens,
        "completion_tokens": completion.num_completion_tokens,
        "processing_order": completion.order,
    }


def _refuse_long(prompts: list[list[int]], max_new_tokens: int, max_tokens: int) -> None:
    problems = [
        Problem(
            loc=["prompts", index],
            msg=f"prompts[{index}] has {len(prompt)} tokens, which with max_new_tokens, {max_new_tokens}, is more than "
            f"the {max_tokens} there is room for; shorten it or lower max_new_tokens",
            type="prompt_too_long",
        )
        for index, prompt in enumerate(prompts)
        if len(prompt) + max_new_tokens > max_tokens
    ]
    if problems:
        raise InvalidRequest(problems)
