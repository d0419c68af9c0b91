"""Long texts in overlapping windows, so that the model sees all of them. Pure functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batch_inference.token_rows import Int32Array, TokenRows, ranges, starts_of


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The windows of some texts, text after text.

    Attributes:
        rows: the token ids of each window.
        counts: how many windows each text has, one or more; shape (texts,).
        weights: tokens that each window adds to those before it; shape (windows,).
    """

    rows: TokenRows
    counts: Int32Array
    weights: Int32Array

    @classmethod
    def one_each(cls, rows: TokenRows) -> Windows:
        """Texts that fit a window each."""
        return cls(rows, np.ones(len(rows), np.int32), rows.lengths)

    @classmethod
    def over(cls, texts: TokenRows, size: int, stride: float) -> Windows:
        """Windows of `size` tokens that cover the texts; the last one of a text ends where the text does.

        Args:
            texts: token ids of whole texts.
            size: tokens of a window; a text that has no more is one window.
            stride: how far after its predecessor a window starts, as a share of `size`; above 0 and up to 1.
        """
        if not len(texts) or int(texts.lengths.max()) <= size:
            return cls.one_each(texts)
        step = max(1, round(size * stride))
        surplus = np.maximum(texts.lengths - size, 0)
        counts = (1 - (-surplus // step)).astype(np.int32)
        owners = np.repeat(np.arange(len(texts)), counts)
        numbers = np.arange(len(owners)) - np.repeat(starts_of(counts), counts)
        starts = np.minimum(numbers * step, surplus[owners])
        lengths = np.minimum(texts.lengths, size)[owners]
        ends = starts + lengths
        weights = np.where(numbers == 0, ends, np.diff(ends, prepend=0)).astype(np.int32)
        rows = TokenRows(texts.input_ids[ranges(texts.starts[owners] + starts, lengths)], lengths)
        return cls(rows, counts, weights)


def text_means(values: NDArray[Any], counts: Int32Array, weights: Int32Array) -> NDArray[Any]:
    """From windows to texts: the mean of each text's windows, weighted; (windows, n) to (texts, n)."""
    if len(values) == len(counts):
        return values
    sums = np.add.reduceat(values * weights[:, None], starts_of(counts), axis=0)
    means: NDArray[Any] = (sums / np.add.reduceat(weights, starts_of(counts))[:, None]).astype(values.dtype)
    return means
