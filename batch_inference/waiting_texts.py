"""The texts that wait for a pass, and which of them are next. No thread, no clock."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from batch_inference.planner import PassCost, plan_by_arrival, plan_pass
from batch_inference.scheduled_model import ScheduledModel
from batch_inference.text_groups import PassRows, TextGroup
from batch_inference.token_rows import Indices, starts_of

SMALL_PASS_SHARE: Final = 1 / 8
"""Of a pass's budget: what small requests may have of it that go before larger ones. So little that the remainder of a
large request is seldom taken for a small one, which would cost throughput."""


class WaitingTexts:
    """Groups of texts that wait, in a line for each model: a pass is of one model.

    Every other pass is for the oldest group of a line, and these turns go round the lines: so no text starves, and no
    model's texts starve another's. The passes between are for the group that has the fewest tokens left, of whichever
    model. With more in its line than a pass takes, a small one shares a pass with small ones only, and that pass goes
    before the oldest group's, too, unless it would be the second such pass in a row. So however many large ones came
    before, a small request waits only for what is in flight; and for one more pass if it is not the only small one.

    Args:
        models: by their names.
    """

    def __init__(self, models: Mapping[str, ScheduledModel]) -> None:
        self._models = models
        self._num_texts = 0
        self._is_turn_of_oldest = True
        self._were_small_last = False
        # The line that is first has waited longest for a turn of its oldest group. None is empty.
        self._lines: dict[str, list[TextGroup]] = {}

    def __len__(self) -> int:
        return self._num_texts

    def add(self, group: TextGroup) -> None:
        """Have a group of one text or more wait."""
        self._lines.setdefault(group.model, []).append(group)
        self._num_texts += len(group.rows)

    @property
    def are_worth_a_second_pass(self) -> bool:
        """Whether a line has enough for a pass while another is in flight: a launch takes time from the requests'
        threads, so that little may as well join what arrives until that pass is over."""
        return any(self._is_enough(line, self._models[name].budget.cost) for name, line in self._lines.items())

    def take(self) -> PassRows | None:
        """Take the texts of the next pass, if any wait."""
        if not self._lines:
            return None
        groups = self._in_turn()
        name = groups[0].model
        waiting = PassRows.waiting_in(groups)
        taken = planned(waiting.lengths, self._models[name].budget.cost)
        self._num_texts -= len(taken)
        if len(taken) == len(waiting) and len(groups) == len(self._lines[name]):
            del self._lines[name]
            return waiting.part(taken)
        is_left = np.ones(len(waiting), bool)
        is_left[taken] = False
        start = 0
        for group in groups:
            end = start + len(group.waiting)
            group.leave_waiting(is_left[start:end])
            start = end
        self._lines[name] = [group for group in self._lines[name] if len(group.waiting)]
        return waiting.part(taken)

    def drop_abandoned(self) -> None:
        """Drop the groups that nobody waits for: they were cancelled, or have failed."""
        self._keep({name: [g for g in line if not g.future.done()] for name, line in self._lines.items()})

    def clear(self) -> list[TextGroup]:
        """Take all groups out."""
        groups = [group for line in self._lines.values() for group in line]
        self._keep({})
        return groups

    def _is_enough(self, line: list[TextGroup], cost: PassCost) -> bool:
        least = min(cost.min_second_tokens, cost.max_batch_tokens // 2)
        return least == 0 or sum(map(_num_tokens, line)) >= least

    def _keep(self, lines: dict[str, list[TextGroup]]) -> None:
        self._lines = {name: line for name, line in lines.items() if line}
        self._num_texts = sum(len(group.waiting) for line in lines.values() for group in line)

    def _in_turn(self) -> list[TextGroup]:
        """The groups that the next pass may take from, the one that it begins with first."""
        smallest = min(map(_smallest, self._lines.values()), key=_num_tokens)
        line = self._lines[smallest.model]
        small = self._small_ones(line)
        if self._is_turn_of_oldest and (self._were_small_last or not small):
            self._is_turn_of_oldest = self._were_small_last = False
            name = next(iter(self._lines))
            self._lines[name] = line = self._lines.pop(name)
            return line
        self._is_turn_of_oldest = True
        self._were_small_last = bool(small)
        if small or len(line) == 1:
            return small or line
        return [smallest, *(group for group in line if group is not smallest)]

    def _small_ones(self, line: list[TextGroup]) -> list[TextGroup]:
        """The groups of a line that go before larger ones; none where nothing larger waits, or all fits in one pass."""
        max_batch_tokens = self._models[line[0].model].budget.cost.max_batch_tokens
        max_small = max_batch_tokens * SMALL_PASS_SHARE
        num_tokens = sum(map(_num_tokens, line))
        if num_tokens <= max_batch_tokens:
            return line if num_tokens <= max_small and len(self._lines) > 1 else []
        by_size = sorted(line, key=_num_tokens)
        return by_size[: bisect_right(list(accumulate(map(_num_tokens, by_size))), max_small)]


def _num_tokens(group: TextGroup) -> int:
    return group.num_tokens


def _smallest(line: list[TextGroup]) -> TextGroup:
    return min(line, key=_num_tokens)


def planned(lengths: NDArray[np.int32], cost: PassCost) -> Indices:
    """Which of the waiting texts are in the next pass: the first of them, and what goes with it. In the order of the
    queue, or by their lengths, so that like stands beside like, and the first among equals first."""
    if len(lengths) == 1:
        return np.zeros(1, np.intp)
    if cost.is_by_arrival:
        return np.arange(plan_by_arrival(lengths, cost))
    by_length = np.argsort(lengths, kind="stable")
    if not cost.is_padded and int(lengths.sum()) <= cost.max_batch_tokens:
        # As `plan_pass` would have it, and the usual case.
        return by_length
    values, counts = np.unique(lengths, return_counts=True)
    waiting = dict(zip(values.tolist(), counts.tolist(), strict=True))
    plan = plan_pass(waiting, int(lengths[0]), cost)
    limits = np.array([plan.get(length, 0) for length in waiting])
    ranks = np.arange(len(lengths)) - np.repeat(starts_of(counts), counts)
    return by_length[ranks < np.repeat(limits, counts)]
