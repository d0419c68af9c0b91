"""What an encoder asks of its device: the parts of a pass that differ from one kind of device to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from batch_inference.forward.attention_groups import AttentionGroup
from batch_inference.forward.rows import PackedRows
from batch_inference.forward.weights import Affine, EncoderWeights
from batch_inference.token_rows import TokenRows


@dataclass(frozen=True, slots=True)
class DeviceRows:
    """Packed rows on the device.

    Attributes:
        input_ids, positions, row_starts: as in `PackedRows`, int32.
        num_rows: real rows, which come first.
        longest: tokens in the longest row.
        groups: the real rows, in order, as attention on a CPU takes them; empty on a GPU.
    """

    input_ids: torch.Tensor
    positions: torch.Tensor
    row_starts: torch.Tensor
    num_rows: int
    longest: int
    groups: tuple[AttentionGroup, ...] = ()

    @classmethod
    def of(cls, rows: PackedRows, buffer: torch.Tensor, groups: tuple[AttentionGroup, ...] = ()) -> DeviceRows:
        """Rows whose `buffer` is this tensor on the device."""
        positions_end = 2 * rows.num_tokens
        return cls(
            buffer[: rows.num_tokens],
            buffer[rows.num_tokens : positions_end],
            buffer[positions_end:],
            rows.num_rows,
            rows.longest,
            groups,
        )

    @property
    def first_tokens(self) -> torch.Tensor:
        """Where each real row starts; shape (rows,)."""
        return self.row_starts[: self.num_rows]


class Linear(Protocol):
    """A linear layer: inputs of shape (tokens, inputs) to outputs of shape (tokens, outputs)."""

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """The layer alone."""
        ...

    def gelu(self, inputs: torch.Tensor) -> torch.Tensor:
        """GELU of the layer's outputs."""
        ...

    def plus(self, inputs: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """The layer's outputs and the residual, added up; may write into the residual."""
        ...


class FeedForward:
    """The second half of a block: two linear layers with GELU between them, and the block's own inputs added."""

    def __init__(self, inner: Linear, outer: Linear) -> None:
        self._inner = inner
        self._outer = outer

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Shape (tokens, hidden), as the inputs, into which it may write."""
        return self._outer.plus(self._inner.gelu(hidden), hidden)


Attention = Callable[[torch.Tensor, DeviceRows], torch.Tensor]
"""Attention within each row, its queries, keys and values made of the hidden states of all tokens."""


class Kernels(Protocol):
    """One device's way to compute an encoder."""

    def adapt(self, weights: EncoderWeights) -> EncoderWeights:
        """The same encoder, its weights as this device wants them."""
        ...

    def linear(self, weights: Affine) -> Linear:
        """A linear layer of the encoder."""
        ...

    def attention(self, weights: Affine, num_heads: int) -> Attention:
        """Attention of every token, after the layer that gives queries, keys and values; shape (tokens, hidden)."""
        ...

    def first_attention(self, weights: Affine, num_heads: int) -> Attention:
        """The same of the first token of each real row, and no other; shape (rows, hidden)."""
        ...

    def feed_forward(self, inner: Affine, outer: Affine) -> Callable[[torch.Tensor], torch.Tensor]:
        """Those two layers of a block."""
        ...

    def calibrate(self, run: Callable[[TokenRows], object]) -> None:
        """Called once an encoder is built of these parts, with what runs it on rows of token ids."""
        ...

    def to_device(self, rows: PackedRows) -> DeviceRows:
        """Bring rows to the device; copying may still go on."""
        ...
