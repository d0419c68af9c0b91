"""What the generator has done: requests as every chute counts them, and tokens."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import AbstractContextManager

import prometheus_client as prometheus

from batch_inference.stats import RATE_WINDOW_S, Stats, StatsSnapshot

_PROMPT_TOKENS = prometheus.Counter("batch_generator_prompt_tokens", "Tokens of prompts that were completed")
_COMPLETION_TOKENS = prometheus.Counter("batch_generator_completion_tokens", "Tokens that were generated")


class GenerationStats:
    """Thread-safe counters of one generator. A request counts when all its prompts have been answered."""

    def __init__(self) -> None:
        self._requests = Stats()
        self._lock = threading.Lock()
        self._started_at = time.monotonic()
        self._finished: deque[tuple[float, int]] = deque()
        self.prompt_tokens = 0
        self.completion_tokens = 0

    def request_in_flight(self) -> AbstractContextManager[None]:
        """Count a request as being worked on for as long as the block lasts."""
        return self._requests.request_in_flight()

    def count_request(self, num_prompts: int, latency_s: float, queue_time_s: float) -> None:
        """Count an answered request."""
        self._requests.count_request(num_prompts, 0, latency_s, queue_time_s)
        self._requests.of("").count_texts(num_prompts, 0)

    def count_completion(self, num_prompt_tokens: int, num_completion_tokens: int) -> None:
        """Count a finished completion."""
        with self._lock:
            self.prompt_tokens += num_prompt_tokens
            self.completion_tokens += num_completion_tokens
            self._finished.append((time.monotonic(), num_completion_tokens))
        _PROMPT_TOKENS.inc(num_prompt_tokens)
        _COMPLETION_TOKENS.inc(num_completion_tokens)

    def count_error(self, kind: str) -> None:
        """Count a request that got an error instead of results, or a stream that ended in one."""
        self._requests.count_error(kind)

    @property
    def tokens_per_second(self) -> float:
        """Tokens of the completions that finished in the last minute, or since the start if that is shorter."""
        now = time.monotonic()
        with self._lock:
            while self._finished and self._finished[0][0] < now - RATE_WINDOW_S:
                self._finished.popleft()
            num_tokens = sum(tokens for _, tokens in self._finished)
        return num_tokens / max(1.0, min(RATE_WINDOW_S, now - self._started_at))

    def seconds_for(self, num_tokens: int) -> float:
        """How long so many tokens would take at the last minute's rate; 0 if nothing finished in it."""
        rate = self.tokens_per_second
        return num_tokens / rate if rate else 0.0

    def snapshot(self) -> StatsSnapshot:
        """The requests' counters at one moment."""
        return self._requests.snapshot()
