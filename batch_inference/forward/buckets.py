"""Sizes that passes are padded to, so that few of them are enough to have each captured. Numbers only, no torch.

A captured pass has a fixed number of tokens and of rows, and a limit for its longest row. Rows that are not needed hold
no token, tokens that are not needed are rows of their own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

SMALLEST_TOKENS, LARGEST_TOKENS = 32, 8192
"""Passes of more tokens keep a GPU busy for longer than their launch takes."""

LONGEST_TOKENS = (64, 128)
"""Limits of the longest row: attention starts as many blocks for each row as the longest may need. A third limit is
what the model can take."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A size of pass.

    Attributes:
        num_tokens: of all rows.
        longest: most tokens in a row.
    """

    num_tokens: int
    longest: int

    @property
    def num_slots(self) -> int:
        """Rows, those without a token included: enough for texts of eight tokens, and for a few that are shorter."""
        return self.num_tokens // 8 + 8

    @property
    def num_integers(self) -> int:
        """Of a pass's buffer: ids, positions and row starts."""
        return 2 * self.num_tokens + self.num_slots + 1

    def num_surplus_rows(self, num_tokens: int) -> int:
        """Rows that hold the tokens that so many lack."""
        return -(-(self.num_tokens - num_tokens) // self.longest)


class Buckets:
    """The buckets of a model.

    Args:
        max_row_tokens: longest row the model can take.
        max_pass_tokens: no bucket is larger.
    """

    def __init__(self, max_row_tokens: int, max_pass_tokens: int = LARGEST_TOKENS) -> None:
        self._limits = [*(limit for limit in LONGEST_TOKENS if limit < max_row_tokens), max_row_tokens]
        largest = max(SMALLEST_TOKENS, min(max_pass_tokens, LARGEST_TOKENS))
        # Powers of two, and between two of them their mean: a third of a pass is padding at most.
        doubled = [SMALLEST_TOKENS << power for power in range(largest.bit_length())]
        self._sizes = [size for power in doubled for size in (power, power * 3 // 2) if size <= largest]

    def all(self) -> list[Bucket]:
        """Every bucket, the largest first."""
        return [
            Bucket(size, limit)
            for size in reversed(self._sizes)
            for number, limit in enumerate(self._limits)
            if number == 0 or self._limits[number - 1] < size
        ]

    def of(self, num_tokens: int, lengths: Sequence[int]) -> Bucket | None:
        """The smallest one for rows of these lengths, so many tokens together; None if there is none."""
        size = bisect_left(self._sizes, num_tokens)
        if size == len(self._sizes):
            return None
        bucket = Bucket(self._sizes[size], self._limits[bisect_left(self._limits, max(lengths))])
        is_enough = len(lengths) + bucket.num_surplus_rows(num_tokens) <= bucket.num_slots
        return bucket if is_enough else None
