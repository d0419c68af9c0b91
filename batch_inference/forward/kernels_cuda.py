"""An encoder on a GPU, by calls of torch alone: seven kernels a block, each over all tokens of a pass.

The same calls run on a CPU, given an attention that does: that is how tests compare them with transformers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from batch_inference.forward.attention_cuda import attend_efficient
from batch_inference.forward.kernels import Attention, DeviceRows, FeedForward
from batch_inference.forward.rows import PackedRows
from batch_inference.forward.streams import Upload
from batch_inference.forward.weights import Affine, BlockWeights, EncoderWeights
from batch_inference.token_rows import TokenRows

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]
"""Queries, keys and values of shape (tokens, heads, head size), row starts, and the longest row, to such values."""


class CudaLinear:
    """A linear layer. The GELU is a part of the product's kernel, where a GPU computes it by its tanh formula."""

    def __init__(self, weights: Affine, has_fused_gelu: bool = True) -> None:
        self._weight = weights.weight.t()
        self._bias = weights.bias
        self._has_bias = bool(weights.bias.any())
        self._has_fused_gelu = has_fused_gelu

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self._bias, inputs, self._weight)

    def gelu(self, inputs: torch.Tensor) -> torch.Tensor:
        if self._has_fused_gelu:
            return torch._addmm_activation(self._bias, inputs, self._weight, use_gelu=True)
        return torch.ops.aten.gelu_.default(self(inputs))  # type: ignore[no-any-return]

    def plus(self, inputs: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        # A product has room for one addend: the residual, if `fold_biases` moved the bias elsewhere.
        return self(inputs).add_(residual) if self._has_bias else residual.addmm_(inputs, self._weight)


class CudaKernels:
    """How a GPU computes an encoder.

    Args:
        upload: brings rows to the GPU, or in tests to the CPU.
        attend: which attention; `attention_cuda.py` has them.
        has_folded_biases, has_fused_gelu: False is slower, and what these are measured against.
    """

    def __init__(
        self,
        upload: Upload,
        attend: Attend = attend_efficient,
        has_folded_biases: bool = True,
        has_fused_gelu: bool = True,
    ) -> None:
        self._upload = upload
        self._attend_rows = attend
        self._has_folded_biases = has_folded_biases
        self._has_fused_gelu = has_fused_gelu

    def adapt(self, weights: EncoderWeights) -> EncoderWeights:
        """Biases moved to where they cost nothing."""
        return fold_biases(weights) if self._has_folded_biases else weights

    def linear(self, weights: Affine) -> CudaLinear:
        """By cuBLAS."""
        return CudaLinear(weights, self._has_fused_gelu)

    def attention(self, weights: Affine, num_heads: int) -> Attention:
        """One call for all rows, which need no padding."""
        projection = self.linear(weights)

        def attention(hidden: torch.Tensor, rows: DeviceRows) -> torch.Tensor:
            projected = projection(hidden)
            queries, keys, values = projected.view(len(projected), 3, num_heads, -1).unbind(1)
            attended = self._attend_rows(queries, keys, values, rows.row_starts, rows.longest)
            return attended.reshape(hidden.shape)

        return attention

    def first_attention(self, weights: Affine, num_heads: int) -> Attention:
        """That of every token, the others dropped: queries of their own would be one call more, which is what costs."""
        attention = self.attention(weights, num_heads)
        return lambda hidden, rows: attention(hidden, rows).index_select(0, rows.first_tokens)

    def feed_forward(self, inner: Affine, outer: Affine) -> Callable[[torch.Tensor], torch.Tensor]:
        """One layer after the other."""
        return FeedForward(self.linear(inner), self.linear(outer))

    def calibrate(self, run: Callable[[TokenRows], object]) -> None:
        """There is nothing to learn."""

    def to_device(self, rows: PackedRows) -> DeviceRows:
        """Start copying rows to the device."""
        return DeviceRows.of(rows, self._upload(rows.buffer))


def can_fuse_gelu(precision: str) -> bool:
    """Whether GELU may be a part of the product before it, which `kernel_choice` finds faster on some cards.

    There, a GPU computes it by its tanh formula: too far from the exact one for float32 (up to 8e-4 of a probability).
    On Blackwell's small cards (compute capability 12) it is also slower: 296 instead of 236 us for (512, 3072) by
    (3072, 12288) on an RTX 5090, sglang's pull request 34350.
    """
    return precision != "float32"


def fold_biases(weights: EncoderWeights) -> EncoderWeights:
    """The same encoder, with no bias in the layers that a residual is added to.

    The norm before such a layer's residual adds that bias, as a part of its own; so the residual carries it. What else
    reads that norm's output, the layer that leads to this one, takes it off again by its bias. Exact but for rounding.
    """
    blocks: list[BlockWeights] = []
    norm = weights.norm
    for block in weights.blocks:
        carried, inner_carried = block.attention_out.bias, block.outer.bias
        norm_before = _with_bias(norm, norm.bias + carried)
        if blocks:
            blocks[-1] = replace(blocks[-1], norm=norm_before)
        else:
            first_norm = norm_before
        blocks.append(
            BlockWeights(
                attention_in=_taking_off(block.attention_in, carried),
                attention_out=_with_bias(block.attention_out, torch.zeros_like(carried)),
                attention_norm=_with_bias(block.attention_norm, block.attention_norm.bias + inner_carried),
                inner=_taking_off(block.inner, inner_carried),
                outer=_with_bias(block.outer, torch.zeros_like(inner_carried)),
                norm=block.norm,
            )
        )
        norm = block.norm
    return replace(weights, norm=first_norm, blocks=tuple(blocks))


def _with_bias(weights: Affine, bias: torch.Tensor) -> Affine:
    return Affine(weights.weight, bias.to(weights.weight.dtype))


def _taking_off(weights: Affine, carried: torch.Tensor) -> Affine:
    """A layer whose inputs come with something added."""
    return _with_bias(weights, weights.bias.float() - weights.weight.float() @ carried.float())
