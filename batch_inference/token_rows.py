"""Token ids of many texts in one array, so that what is done for a request need not be done for each of its texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int32Array = NDArray[np.int32]
Indices = NDArray[np.intp]
Outputs = NDArray[np.float32]
"""What a model says of each row, such as the logit of each label; shape (rows, outputs)."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenRows:
    """Rows of token ids, one after the other.

    Attributes:
        input_ids: the ids of all rows; int32, shape (tokens,).
        lengths: tokens of each row, in the same order; int32, shape (rows,).
    """

    input_ids: Int32Array
    lengths: Int32Array

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> TokenRows:
        """From one sequence of ids a row."""
        lengths = np.fromiter(map(len, rows), np.int32, len(rows))
        return cls(np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum())), lengths)

    @classmethod
    def joined(cls, parts: Sequence[TokenRows]) -> TokenRows:
        """The rows of all parts, in their order; at least one part."""
        if len(parts) == 1:
            return parts[0]
        input_ids = np.concatenate([part.input_ids for part in parts])
        return cls(input_ids, np.concatenate([part.lengths for part in parts]))

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def num_tokens(self) -> int:
        """Tokens of all rows together."""
        return len(self.input_ids)

    @property
    def starts(self) -> Indices:
        """Where each row starts in `input_ids`."""
        return starts_of(self.lengths)

    def select(self, indices: Indices) -> TokenRows:
        """The rows at these indices, in this order."""
        lengths = self.lengths[indices]
        return TokenRows(self.input_ids[ranges(self.starts[indices], lengths)], lengths)

    def part(self, start: int, end: int) -> TokenRows:
        """Rows `start` to `end` (exclusive), as views of the same arrays."""
        first = int(self.lengths[:start].sum())
        lengths = self.lengths[start:end]
        return TokenRows(self.input_ids[first : first + int(lengths.sum())], lengths)

    def cut(self, max_length: int, *, keeps_end: bool = False) -> TokenRows:
        """The first `max_length` ids of each row, or the last ones."""
        if self.num_tokens <= max_length or int(self.lengths.max()) <= max_length:
            return self
        lengths = np.minimum(self.lengths, max_length)
        starts = self.starts + (self.lengths - lengths) if keeps_end else self.starts
        return TokenRows(self.input_ids[ranges(starts, lengths)], lengths)

    def framed(self, prefix: Sequence[int], suffix: Sequence[int]) -> TokenRows:
        """Each row with these ids before and after it."""
        if len(self) == 1:
            input_ids = np.concatenate([prefix, self.input_ids, suffix], dtype=np.int32, casting="unsafe")
            return TokenRows(input_ids, np.array([len(input_ids)], np.int32))
        lengths = (self.lengths + (len(prefix) + len(suffix))).astype(np.int32)
        input_ids = np.empty(int(lengths.sum()), np.int32)
        starts = starts_of(lengths)
        for offset, token_id in enumerate(prefix):
            input_ids[starts + offset] = token_id
        for offset, token_id in enumerate(reversed(suffix), start=1):
            input_ids[starts + lengths - offset] = token_id
        input_ids[ranges(starts + len(prefix), self.lengths)] = self.input_ids
        return TokenRows(input_ids, lengths)

    def tolists(self) -> list[list[int]]:
        """One list of ids a row."""
        return [row.tolist() for row in np.split(self.input_ids, self.starts[1:])] if len(self) else []


def starts_of(lengths: NDArray[Any]) -> Indices:
    """Where each of consecutive runs of these lengths starts."""
    starts = np.zeros(len(lengths), np.intp)
    np.cumsum(lengths[:-1], out=starts[1:])
    return starts


def ranges(starts: Indices, lengths: NDArray[Any]) -> Indices:
    """The indices `start` to `start + length` (exclusive) of every pair, one range after the other."""
    offsets = np.repeat(starts - starts_of(lengths), lengths)
    offsets += np.arange(len(offsets))
    return offsets
