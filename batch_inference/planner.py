"""Which waiting texts share a forward pass: pure functions over lengths in tokens. No torch, no threads, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PassCost:
    """What a forward pass costs, counted in tokens: `overhead_tokens`, and those that it computes.

    A padded pass computes `rows * longest` tokens, a packed one only those of its texts. The overhead is what a pass
    takes however small it is (reading the weights, launching kernels), expressed in the tokens that could be computed
    in that time. While a pass is small against it, padding is nearly free; in a pass that is large against it, every
    padding token costs.

    Attributes:
        max_batch_tokens: the budget; most tokens that one pass computes.
        overhead_tokens: the fixed part of a pass's cost.
        is_padded: whether a pass computes every row up to the longest one.
        is_by_arrival: passes are planned by `plan_by_arrival`, not by `plan_pass`. For those without padding on a GPU:
            on a CPU, rows of like length still share a call of attention.
        min_second_tokens: fewer that wait are not worth a pass of their own while another is in flight.
    """

    max_batch_tokens: int
    overhead_tokens: int
    is_padded: bool = True
    is_by_arrival: bool = False
    min_second_tokens: int = 0

    def computed_tokens(self, useful_tokens: int, rows: int, longest: int) -> int:
        """Tokens that a pass computes, padding included."""
        return rows * longest if self.is_padded else useful_tokens

    def fits(self, useful_tokens: int, rows: int, longest: int) -> bool:
        """Whether a pass is within the budget. A single row always is, for nothing smaller can be run."""
        return rows == 1 or self.computed_tokens(useful_tokens, rows, longest) <= self.max_batch_tokens

    def efficiency(self, useful_tokens: int, rows: int, longest: int) -> float:
        """Useful tokens per token of cost, between 0 and 1."""
        return useful_tokens / (self.overhead_tokens + self.computed_tokens(useful_tokens, rows, longest))


def plan_by_arrival(lengths: NDArray[Any], cost: PassCost) -> int:
    """Choose the texts of the next pass where lengths do not matter: the first of them, until the budget is full.

    Args:
        lengths: tokens of the texts that wait, in the order in which they should be run; at least one.
        cost: of a pass without padding.

    Returns:
        How many texts to run, from the first on; at least 1, so that every text is run.
    """
    return max(1, int(np.searchsorted(np.cumsum(lengths), cost.max_batch_tokens, side="right")))


def plan_pass(waiting: Mapping[int, int], oldest: int, cost: PassCost) -> dict[int, int]:
    """Choose the texts of the next pass: the oldest one, and those nearest in length that make the pass more efficient.

    Growing from the oldest text outward, the nearer of the next shorter and the next longer text is tried first. It
    joins if the pass stays within the budget and does more useful work per unit of cost with it than without it. A
    refusal on one side is final there: texts further away would be padded more, or pad the others more.

    Args:
        waiting: how many texts of each length wait; `waiting[oldest]` is at least 1.
        oldest: length of the text that has waited longest. It is always in the pass, so no text starves.
        cost: the cost model.

    Returns:
        How many texts of each length to run, the oldest among them.
    """
    if not cost.is_padded and cost.fits(*_everything(waiting)):
        # Without padding, every text makes the pass more efficient.
        return dict(waiting)
    shorter = deque(sorted((length for length in waiting if length <= oldest), reverse=True))
    longer = deque(sorted(length for length in waiting if length > oldest))
    plan: dict[int, int] = {}
    rows, useful_tokens, longest, efficiency = 0, 0, oldest, 0.0
    while shorter or longer:
        side = _nearer(shorter, longer, oldest)
        length = side[0]
        grown = (useful_tokens + length, rows + 1, max(longest, length))
        if cost.efficiency(*grown) < efficiency or not cost.fits(*grown):
            side.clear()
            continue
        plan[length] = plan.get(length, 0) + 1
        (useful_tokens, rows, longest), efficiency = grown, cost.efficiency(*grown)
        if plan[length] == waiting[length]:
            side.popleft()
    return dict(waiting) if _one_pass_is_cheaper(waiting, rows, useful_tokens, longest, cost) else plan


def _one_pass_is_cheaper(
    waiting: Mapping[int, int], rows: int, useful_tokens: int, longest: int, cost: PassCost
) -> bool:
    """Whether running all that waits at once beats the planned pass and one more, were that one free of padding."""
    all_tokens, all_rows, all_longest = _everything(waiting)
    if rows == all_rows or not cost.fits(all_tokens, all_rows, all_longest):
        return False
    planned = cost.computed_tokens(useful_tokens, rows, longest)
    at_once = cost.computed_tokens(all_tokens, all_rows, all_longest)
    return at_once <= planned + cost.overhead_tokens + all_tokens - useful_tokens


def _everything(waiting: Mapping[int, int]) -> tuple[int, int, int]:
    """Tokens, rows and longest row of all that waits."""
    return sum(length * count for length, count in waiting.items()), sum(waiting.values()), max(waiting)


def _nearer(shorter: deque[int], longer: deque[int], length: int) -> deque[int]:
    if shorter and longer:
        return longer if longer[0] - length < length - shorter[0] else shorter
    return shorter or longer
