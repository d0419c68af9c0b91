"""How rows of token ids lie one after the other, for a pass that computes no padding. numpy only, on the host."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from batch_inference.forward.buckets import Bucket
from batch_inference.forward.weights import EncoderWeights
from batch_inference.token_rows import Int32Array, TokenRows


@dataclass(frozen=True, slots=True)
class PackedRows:
    """The rows of a pass in one buffer, so that one copy brings them to a device.

    The tokens that fill the pass up to a round number are rows of their own, after the real ones: attention leaves
    nothing unwritten.

    Attributes:
        buffer: ids, positions and row starts, one after the other; int32.
        num_tokens: how many ids, and how many positions.
        num_rows: how many rows are real.
        lengths: of all rows: those without a token, the real ones, and those that fill the pass up.
        num_empty: rows without a token. They come first, so that each starts at a token that is there.
    """

    buffer: Int32Array
    num_tokens: int
    num_rows: int
    lengths: tuple[int, ...]
    num_empty: int = 0

    @property
    def longest(self) -> int:
        """Tokens in the longest row."""
        return max(self.lengths)

    @property
    def input_ids(self) -> Int32Array:
        """Ids of all rows, one after the other; shape (tokens,)."""
        return self.buffer[: self.num_tokens]

    @property
    def positions(self) -> Int32Array:
        """Positions of those tokens in their rows, as the position embeddings count them; shape (tokens,)."""
        return self.buffer[self.num_tokens : 2 * self.num_tokens]

    @property
    def row_starts(self) -> Int32Array:
        """Where each row starts, and where the last one ends; shape (rows + 1,)."""
        return self.buffer[2 * self.num_tokens :]


def pack(rows: TokenRows, weights: EncoderWeights, bucket: Bucket | None = None) -> PackedRows:
    """Lay rows of token ids one after the other; on a CPU, fastest where rows of like length are neighbours.

    Args:
        rows: the rows.
        weights: of the encoder.
        bucket: what the pass is filled up to; it has to hold the rows. None for a round number of tokens.

    Raises:
        IndexError: a row or an id has no embedding. On a GPU, looking it up would end the process.
    """
    input_ids, lengths = rows.input_ids, rows.lengths
    longest = int(lengths.max())
    if longest > weights.max_tokens:
        raise IndexError(f"a row has {longest} tokens, and the model has positions for {weights.max_tokens}")
    if int(input_ids.max()) >= len(weights.words):
        raise IndexError(f"token {int(input_ids.max())} is none of the model's {len(weights.words)}")
    num_rows, num_real = len(lengths), len(input_ids)
    num_tokens = bucket.num_tokens if bucket else _rounded_up(num_real)
    surplus = _surplus_rows(num_tokens - num_real, bucket.longest if bucket else longest)
    num_empty = bucket.num_slots - num_rows - len(surplus) if bucket else 0
    lengths = np.concatenate([np.zeros(num_empty, np.int32), lengths, surplus])
    buffer = np.empty(2 * num_tokens + len(lengths) + 1, np.int32)
    packed = PackedRows(buffer, num_tokens, num_rows, tuple(lengths.tolist()), num_empty)
    packed.input_ids[:num_real] = input_ids
    packed.input_ids[num_real:] = weights.pad_token_id
    packed.row_starts[0] = 0
    np.cumsum(lengths, out=packed.row_starts[1:])
    _write_positions(packed, lengths, weights)
    return packed


def _write_positions(packed: PackedRows, lengths: Int32Array, weights: EncoderWeights) -> None:
    counts = np.arange(packed.num_tokens, dtype=np.int32)
    is_pad = packed.input_ids == weights.pad_token_id if weights.is_pad_skipped else None
    if is_pad is not None and is_pad.any():
        # As transformers counts them.
        counts = np.cumsum(~is_pad, dtype=np.int32) - ~is_pad
    starts = packed.row_starts[:-1]
    np.subtract(counts + weights.first_position, np.repeat(counts[starts], lengths), out=packed.positions)
    if is_pad is not None:
        packed.positions[is_pad] = weights.first_position - 1


def _surplus_rows(num_tokens: int, longest: int) -> Int32Array:
    """Lengths of rows that hold so many tokens, none longer than that."""
    whole, rest = divmod(num_tokens, longest)
    return np.array([longest] * whole + [rest] * (rest > 0), np.int32)


def _rounded_up(num_tokens: int) -> int:
    """Up to a multiple of four, or by a sixteenth, so that passes have few different sizes: they find memory of theirs
    that is free, and kernels that oneDNN has compiled. For a new size it compiles for 5 ms, where a pass of 25 tokens
    takes 9 (bundled model, AVX2), and each further token 0.2.

    With sizes all different, the process held 639 MiB after 2,500 tweets and 793 MiB after 25,000; so it is 519 and
    532 MiB (bundled model).
    """
    step = 1 << max(2, num_tokens.bit_length() - 5)
    return -(-num_tokens // step) * step
