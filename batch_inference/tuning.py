"""Finding the cost of a forward pass on this machine: how throughput grows with the token budget."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batch_inference.errors import DeviceOutOfMemoryError
from batch_inference.model import EncoderModel
from batch_inference.planner import PassCost
from batch_inference.token_rows import TokenRows

ROW_TOKENS = 32
"""Tokens in a row of a measured pass: about a tweet."""

GOOD_ENOUGH = 0.95
"""The budget picked is the smallest with this share of the best throughput: shorter passes mean shorter queues."""


@dataclass(frozen=True)
class BudgetPoint:
    """What a full pass of `max_batch_tokens` did. The memory is the most ever held: of the GPU, else of the process."""

    max_batch_tokens: int
    pass_s: float
    peak_memory_gib: float

    @property
    def texts_per_second(self) -> float:
        """Texts of `ROW_TOKENS` tokens."""
        return self.tokens_per_second / ROW_TOKENS

    @property
    def tokens_per_second(self) -> float:
        """Tokens of the pass over its duration."""
        return self.max_batch_tokens / self.pass_s


def measure_budgets(model: EncoderModel, budgets: Iterable[int], repeats: int) -> list[BudgetPoint]:
    """Time full passes of each budget, smallest first: the median of `repeats` after a warm-up.

    Stops at the first budget that does not fit the device's memory.
    """
    points = []
    for budget in sorted(budgets):
        rows = TokenRows.of([[0] + [5] * (ROW_TOKENS - 2) + [2]] * max(1, budget // ROW_TOKENS))
        try:
            model.answers(rows)
            pass_s = statistics.median(timed_pass(model, rows) for _ in range(repeats))
        except DeviceOutOfMemoryError:
            break
        points.append(BudgetPoint(len(rows) * ROW_TOKENS, pass_s, model.peak_memory_gib() or _process_peak_gib()))
    return points


def pick_cost(points: Sequence[BudgetPoint]) -> PassCost:
    """The planner's cost model for the measured device.

    The budget is the smallest that is good enough. The overhead is where the straight line of time over tokens, fitted
    to the passes, meets zero tokens, expressed in tokens.

    Raises:
        ValueError: fewer than two points.
    """
    if len(points) < 2:
        raise ValueError("two points are needed to separate the fixed part of a pass's cost from the rest")
    best = max(point.tokens_per_second for point in points)
    budget = min(point.max_batch_tokens for point in points if point.tokens_per_second >= GOOD_ENOUGH * best)
    slope, intercept = statistics.linear_regression(
        [point.max_batch_tokens for point in points], [point.pass_s for point in points]
    )
    overhead = round(intercept / slope) if slope > 0 and intercept > 0 else 0
    return PassCost(max_batch_tokens=budget, overhead_tokens=overhead)


def _process_peak_gib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS, in KiB elsewhere: getrusage(2).
    return peak / (1024**3 if sys.platform == "darwin" else 1024**2)


def timed_pass(model: EncoderModel, rows: TokenRows) -> float:
    """Seconds of one pass of these rows, from the host's point of view."""
    started_at = time.perf_counter()
    model.answers(rows)
    return time.perf_counter() - started_at
