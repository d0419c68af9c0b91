"""An encoder on a CPU: linear layers by oneDNN's kernels, weights in the layout that these want; attention in groups.

On an AMD EPYC with AVX-512 they are more than twice as fast as those that torch takes by itself, MKL's. With AVX2 alone
they are as fast, and faster for few tokens or beside other work (bench/RESULTS.md, "A pass on AVX2").
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch

from batch_inference.forward.attention_cpu import CpuAttention, CpuFirstAttention
from batch_inference.forward.attention_groups import AttentionGroup, grouped
from batch_inference.forward.kernels import Attention, DeviceRows, FeedForward, Linear
from batch_inference.forward.rows import PackedRows
from batch_inference.forward.weights import Affine, EncoderWeights, scale_queries
from batch_inference.token_rows import TokenRows

_ONEDNN = torch.ops.mkldnn
_gelu_ = torch.ops.aten.gelu_.default


def can_run(dtype: torch.dtype) -> bool:
    """Whether this machine has oneDNN's kernels for weights of this type."""
    is_bfloat16 = dtype == torch.bfloat16 and bool(_ONEDNN._is_mkldnn_bf16_supported())
    has_onednn = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return has_onednn and (dtype == torch.float32 or is_bfloat16)


class CpuLinear(ABC):
    """A linear layer by oneDNN's kernels, and what follows it.

    GELU and the residual run in place after the product: fused into oneDNN's kernel they are slower for small passes,
    and on AVX2 for large ones too.
    """

    @abstractmethod
    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """The layer alone."""

    def gelu(self, inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = _gelu_(self(inputs))
        return result

    def plus(self, inputs: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        return self(inputs).add_(residual)


class FloatLinear(CpuLinear):
    """In the weights' own precision: float32 or bfloat16."""

    def __init__(self, weights: Affine) -> None:
        self._weight = _ONEDNN._reorder_linear_weight(weights.weight)
        self._bias = weights.bias

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = _ONEDNN._linear_pointwise.default(inputs, self._weight, self._bias, "none", [], "")
        return result


class CpuKernels:
    """How a CPU computes an encoder in the weights' own precision."""

    def adapt(self, weights: EncoderWeights) -> EncoderWeights:
        """With queries that come scaled for attention."""
        return scale_queries(weights)

    def linear(self, weights: Affine) -> Linear:
        """By oneDNN."""
        return FloatLinear(weights)

    def attention(self, weights: Affine, num_heads: int) -> Attention:
        """One layer for queries, keys and values."""
        return CpuAttention(self.linear(weights), num_heads)

    def first_attention(self, weights: Affine, num_heads: int) -> Attention:
        """Queries by a layer of their own, which sees the first tokens only."""
        hidden_size = weights.weight.shape[1]
        queries = Affine(weights.weight[:hidden_size], weights.bias[:hidden_size])
        keys_values = Affine(weights.weight[hidden_size:], weights.bias[hidden_size:])
        return CpuFirstAttention(self.linear(queries), self.linear(keys_values), num_heads)

    def feed_forward(self, inner: Affine, outer: Affine) -> Callable[[torch.Tensor], torch.Tensor]:
        """One layer after the other."""
        return FeedForward(self.linear(inner), self.linear(outer))

    def calibrate(self, run: Callable[[TokenRows], object]) -> None:
        """There is nothing to learn."""

    def to_device(self, rows: PackedRows) -> DeviceRows:
        """Nothing is copied; which rows share a call of attention is decided."""
        groups = tuple(AttentionGroup.of(group) for group in grouped(rows.lengths[: rows.num_rows]))
        return DeviceRows.of(rows, torch.from_numpy(rows.buffer), groups)
