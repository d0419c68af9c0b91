"""Which rows of a pass without padding share a call of attention, the only step for which it matters where a row ends.

Each call wakes the other cores, which takes long when something else runs on them, such as the answers to the pass
before. 60 tweets have 30 different lengths: calls of one length each cost a service with 64 clients a tenth of its
texts per second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

MIN_CALL_TOKENS = 512
"""Rows of one length are a group by themselves if they have so many tokens together; a group is full with so many."""

MAX_GROUP_PADDING = 1.25
"""Positions over tokens in a group of rows of different lengths."""


@dataclass(frozen=True, slots=True)
class AttentionGroup:
    """Neighbouring rows that attention computes in one call, padded to the longest if they are not equally long.

    Attributes:
        num_tokens: of all its rows.
        num_rows, length: the shape that attention sees.
        padded: for each position of that shape, which of the group's tokens is there; padding repeats
            a row's first token. None if there is no padding. Shape (rows x length,).
        real: the positions that are not padding, in order; shape (tokens,).
        mask: added to the scores, minus infinity where there is no token to look at; shape (rows, 1, 1, length).
    """

    num_tokens: int
    num_rows: int
    length: int
    padded: torch.Tensor | None = None
    real: torch.Tensor | None = None
    mask: torch.Tensor | None = None

    @classmethod
    def of(cls, lengths: Sequence[int]) -> AttentionGroup:
        """The group of rows of these lengths."""
        num_tokens, num_rows, longest = sum(lengths), len(lengths), max(lengths)
        if num_tokens == num_rows * longest:
            return cls(num_tokens, num_rows, longest)
        counts = torch.tensor(lengths)[:, None]
        positions = torch.arange(longest)
        is_real = positions < counts
        padded = counts.cumsum(0) - counts + positions * is_real
        mask = torch.zeros(is_real.shape).masked_fill_(~is_real, float("-inf"))
        return cls(
            num_tokens, num_rows, longest, padded.flatten(), is_real.flatten().nonzero()[:, 0], mask[:, None, None]
        )


def grouped(lengths: Sequence[int]) -> list[list[int]]:
    """Cut rows of these lengths, in their order, into groups: of one length where they are many, else of near ones."""
    groups: list[list[int]] = []
    for length, run in groupby(lengths):
        rows = list(run)
        is_small = len(rows) * length < MIN_CALL_TOKENS
        if groups and is_small and sum(groups[-1]) < MIN_CALL_TOKENS:
            joined = groups[-1] + rows
            if len(joined) * max(joined) <= MAX_GROUP_PADDING * sum(joined):
                groups[-1] = joined
                continue
        groups.append(rows)
    return groups


def by_group(
    projected: torch.Tensor, groups: Iterable[AttentionGroup]
) -> Iterator[tuple[AttentionGroup, torch.Tensor]]:
    """Each group, and its part of what a layer gave, padded: from (tokens, outputs) to (positions, outputs)."""
    start = 0
    for group in groups:
        tokens = projected[start : start + group.num_tokens]
        # `index_select`, for indexing with brackets takes eight times as long.
        yield group, tokens if group.padded is None else tokens.index_select(0, group.padded)
        start += group.num_tokens
