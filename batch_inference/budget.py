"""A pass's token budget: halved on out-of-memory, doubled again after 50 good passes."""

from __future__ import annotations

import logging
from dataclasses import replace

from batch_inference.planner import PassCost

logger = logging.getLogger(__name__)

PASSES_BEFORE_GROWTH = 50
"""Passes that must go well before a budget that was halved by an out-of-memory doubles again."""


class Budget:
    """The cost of a pass, its budget as large as the device's memory allows for now.

    Attributes:
        cost: what the planner goes by.
    """

    def __init__(self, cost: PassCost) -> None:
        self.cost = cost
        self._full = cost.max_batch_tokens
        self._num_good_passes = 0

    def shrink(self, failed_tokens: int) -> None:
        """Halve the budget after a pass of so many tokens ran out of memory."""
        self._set(max(1, min(failed_tokens, self.cost.max_batch_tokens) // 2))
        logger.warning("Out of memory: the budget of a pass is now %d tokens.", self.cost.max_batch_tokens)

    def count_good_pass(self) -> None:
        """Note that a pass went well; after enough of them the budget doubles, up to what it was."""
        if self.cost.max_batch_tokens == self._full:
            return
        self._num_good_passes += 1
        if self._num_good_passes == PASSES_BEFORE_GROWTH:
            self._set(min(self._full, 2 * self.cost.max_batch_tokens))

    def _set(self, max_batch_tokens: int) -> None:
        self.cost = replace(self.cost, max_batch_tokens=max_batch_tokens)
        self._num_good_passes = 0
