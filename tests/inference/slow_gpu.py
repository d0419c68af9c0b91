"""A stand-in for a model on a GPU and for the clock."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from batch_inference.errors import DeviceOutOfMemoryError
from batch_inference.start_notes import StartNotes
from batch_inference.token_rows import TokenRows


class SlowGpu:
    """Stands for a model on a GPU and for the clock: launches and results take the host some time, the GPU works at one
    pass after the other.

    Attributes:
        passes: how many tokens each had, in the order of their launch.
        num_tokens_that_fit: more are out of memory.
    """

    forward, precision = None, "float16"
    device, max_in_flight, is_padded, max_tokens = "cuda:0", 2, False, 512
    HOST_S, TOKEN_S = 0.001, 1e-6

    def __init__(self, num_tokens_that_fit: int = 1_000_000) -> None:
        self.now_s = self.free_at_s = 0.0
        self.passes: list[int] = []
        self.num_tokens_that_fit = num_tokens_that_fit
        self.notes = StartNotes()
        self.tokenizer = SimpleNamespace(encode=self._encode)

    def perf_counter(self) -> float:
        return self.now_s

    def prepare(self, rows: TokenRows) -> TokenRows:
        self.now_s += self.HOST_S / 2
        return rows

    def launch(self, rows: TokenRows) -> SimpleNamespace:
        if rows.num_tokens > self.num_tokens_that_fit:
            raise DeviceOutOfMemoryError("too large")
        self.passes.append(rows.num_tokens)
        self.now_s += self.HOST_S / 2
        self.free_at_s = ends_at_s = max(self.free_at_s, self.now_s) + rows.num_tokens * self.TOKEN_S
        return SimpleNamespace(result=lambda: self._wait_until(ends_at_s, len(rows)))

    def answers(self, rows: TokenRows) -> NDArray[np.float32]:
        return self.launch(self.prepare(rows)).result()

    def peak_memory_gib(self) -> float:
        return 1.0

    def _wait_until(self, ends_at_s: float, num_rows: int) -> NDArray[np.float32]:
        self.now_s = max(self.now_s, ends_at_s)
        return np.zeros((num_rows, 3), np.float32)

    def _encode(self, texts: list[str], max_tokens: int) -> SimpleNamespace:
        return SimpleNamespace(rows=TokenRows.of([[7] * max_tokens for _ in texts]))
