"""Which waiting texts share a forward pass: pure functions over lengths in tokens. No torch, no threads, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PassCost:
    """What a forward pass costs, counted in tokens: `overhead_tokens + rows * longest`.

    The overhead is what a pass takes however small it is (reading the weights, launching kernels), expressed in the
    tokens that could be computed in that time. While a pass is small against it, padding is nearly free; in a pass
    that is large against it, every padding token costs.

    Attributes:
        max_batch_tokens: the budget; most padded tokens (rows x longest row) in one pass.
        overhead_tokens: the fixed part of a pass's cost.
    """

    max_batch_tokens: int
    overhead_tokens: int

    def fits(self, rows: int, longest: int) -> bool:
        """Whether the shape is within the budget. A single row always is, for nothing smaller can be run."""
        return rows == 1 or rows * longest <= self.max_batch_tokens

    def efficiency(self, useful_tokens: int, rows: int, longest: int) -> float:
        """Useful tokens per token of cost, between 0 and 1."""
        return useful_tokens / (self.overhead_tokens + rows * longest)


def plan_pass(waiting: Mapping[int, int], oldest: int, cost: PassCost) -> dict[int, int]:
    """Choose the texts of the next pass: the oldest one, and those nearest in length that make the pass more efficient.

    Growing from the oldest text outward, the nearer of the next shorter and the next longer text is tried first. It
    joins if the pass stays within the budget and does more useful work per unit of cost with it than without it. A
    refusal on one side is final there: texts further away would be padded more, or pad the others more.

    Args:
        waiting: how many texts of each length wait; `waiting[oldest]` is at least 1.
        oldest: length of the text that has waited longest. It is always in the pass, so none waits for ever.
        cost: the cost model.

    Returns:
        How many texts of each length to run, the oldest among them.
    """
    shorter = deque(sorted((length for length in waiting if length <= oldest), reverse=True))
    longer = deque(sorted(length for length in waiting if length > oldest))
    plan: dict[int, int] = {}
    rows, useful_tokens, longest, efficiency = 0, 0, oldest, 0.0
    while shorter or longer:
        side = _nearer(shorter, longer, oldest)
        length = side[0]
        new_longest = max(longest, length)
        new_efficiency = cost.efficiency(useful_tokens + length, rows + 1, new_longest)
        if new_efficiency < efficiency or not cost.fits(rows + 1, new_longest):
            side.clear()
            continue
        plan[length] = plan.get(length, 0) + 1
        rows, useful_tokens, longest, efficiency = rows + 1, useful_tokens + length, new_longest, new_efficiency
        if plan[length] == waiting[length]:
            side.popleft()
    return dict(waiting) if _one_pass_is_cheaper(waiting, rows, useful_tokens, longest, cost) else plan


def _one_pass_is_cheaper(
    waiting: Mapping[int, int], rows: int, useful_tokens: int, longest: int, cost: PassCost
) -> bool:
    """Whether running all that waits at once beats the planned pass and one more, were that one free of padding."""
    all_rows, all_longest = sum(waiting.values()), max(waiting)
    if rows == all_rows or not cost.fits(all_rows, all_longest):
        return False
    rest_tokens = sum(length * count for length, count in waiting.items()) - useful_tokens
    return all_rows * all_longest <= rows * longest + cost.overhead_tokens + rest_tokens


def _nearer(shorter: deque[int], longer: deque[int], length: int) -> deque[int]:
    if shorter and longer:
        return longer if longer[0] - length < length - shorter[0] else shorter
    return shorter or longer
