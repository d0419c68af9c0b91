"""Finding the cost of a forward pass on this machine: how throughput grows with the token budget."""

from __future__ import annotations

import math
import resource
import statistics
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batch_inference.errors import DeviceOutOfMemoryError
from batch_inference.model import EncoderModel, LaunchedPass
from batch_inference.planner import PassCost
from batch_inference.token_rows import TokenRows

ROW_TOKENS = 32
"""Tokens in a row of a measured pass: about a tweet."""

GOOD_ENOUGH = 0.95
"""The budget picked is the smallest with this share of the best throughput: shorter passes mean shorter queues."""

MIN_GAIN = 1.03
"""What a doubling of the budget has to bring in tokens per second, for the next one to be worth trying."""

PASSES_IN_A_ROW = 8
"""Timed together where several are in flight, so that what overlaps in service overlaps here."""


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


def measure_budgets(
    model: EncoderModel, budgets: Iterable[int], repeats: int, max_pass_s: float | None = None
) -> list[BudgetPoint]:
    """Time full passes of each budget, smallest first: the median of `repeats` after a warm-up.

    Stops at the first budget that does not fit the device's memory. With `max_pass_s` also after two points, once a
    doubling brings less than `MIN_GAIN` or a pass takes longer: what would be measured after that is not picked.
    """
    points: list[BudgetPoint] = []
    for budget in sorted(budgets):
        rows = rows_of_tweets(budget)
        try:
            model.answers(rows)
            pass_s = statistics.median(seconds_a_pass(model, rows) for _ in range(repeats))
        except DeviceOutOfMemoryError:
            break
        points.append(BudgetPoint(rows.num_tokens, pass_s, model.peak_memory_gib() or _process_peak_gib()))
        if max_pass_s is not None and len(points) > 1:
            gain = points[-1].tokens_per_second / points[-2].tokens_per_second
            if gain < MIN_GAIN or pass_s > max_pass_s:
                break
    return points


def pick_cost(
    points: Sequence[BudgetPoint], good_enough: float = GOOD_ENOUGH, max_pass_s: float = math.inf
) -> PassCost:
    """The planner's cost model for the measured device.

    The budget is the smallest that is good enough; the largest whose pass takes at most `max_pass_s`, if that one
    takes longer. The overhead is where the straight line of time over tokens, fitted to the passes, meets zero tokens,
    expressed in tokens; 0 if there is but one point.

    Raises:
        ValueError: there is no point.
    """
    if not points:
        raise ValueError("nothing was measured")
    best = max(point.tokens_per_second for point in points)
    good = min(point.max_batch_tokens for point in points if point.tokens_per_second >= good_enough * best)
    quick = [point.max_batch_tokens for point in points if point.pass_s <= max_pass_s]
    budget = min(good, max(quick, default=min(point.max_batch_tokens for point in points)))
    if len(points) == 1:
        return PassCost(budget, overhead_tokens=0)
    slope, intercept = statistics.linear_regression(
        [point.max_batch_tokens for point in points], [point.pass_s for point in points]
    )
    overhead = round(intercept / slope) if slope > 0 and intercept > 0 else 0
    return PassCost(max_batch_tokens=budget, overhead_tokens=overhead)


def rows_of_tweets(num_tokens: int) -> TokenRows:
    """About so many tokens, in rows as long as a tweet."""
    return TokenRows.of([[0] + [5] * (ROW_TOKENS - 2) + [2]] * max(1, num_tokens // ROW_TOKENS))


def seconds_a_pass(model: EncoderModel, rows: TokenRows) -> float:
    """Seconds that a pass of these rows takes, with as many in flight as the scheduler has."""
    if model.max_in_flight == 1:
        return timed_pass(model, rows)
    in_flight: deque[LaunchedPass] = deque()
    started_at = time.perf_counter()
    for _ in range(PASSES_IN_A_ROW):
        if len(in_flight) == model.max_in_flight:
            in_flight.popleft().result()
        in_flight.append(model.launch(model.prepare(rows)))
    for launched in in_flight:
        launched.result()
    return (time.perf_counter() - started_at) / PASSES_IN_A_ROW


def _process_peak_gib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS, in KiB elsewhere: getrusage(2).
    return peak / (1024**3 if sys.platform == "darwin" else 1024**2)


def timed_pass(model: EncoderModel, rows: TokenRows) -> float:
    """Seconds of one pass of these rows, from the host's point of view."""
    started_at = time.perf_counter()
    model.answers(rows)
    return time.perf_counter() - started_at
