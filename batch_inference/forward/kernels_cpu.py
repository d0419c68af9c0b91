"""An encoder on a CPU: linear layers by oneDNN's kernels, weights in the layout that these want; attention in groups.

On an AMD EPYC with AVX-512 they are more than twice as fast as those that torch takes by itself, MKL's. With AVX2 alone
they are as fast, and faster for few tokens or beside other work (bench/RESULTS.md, "A pass on AVX2").
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch.nn.functional import scaled_dot_product_attention

from batch_inference.forward.attention_groups import AttentionGroup, grouped
from batch_inference.forward.kernels import DeviceRows, FeedForward, Linear
from batch_inference.forward.rows import PackedRows
from batch_inference.forward.weights import Affine, EncoderWeights, scale_queries
from batch_inference.token_rows import TokenRows

LONG_ROW_TOKENS = 128
"""Rows from here on take torch's fused attention, which keeps the scores of long rows in the caches. For the others it
is a detour: two products and a softmax take 0.2 to 0.7 times as long for rows of 5 to 37 tokens, 1.0 times at 128, and
1.2 times at 256 (AVX-512 and AVX2, heads of 32 and 64)."""

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


def _attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """Attention of equally long rows, the queries scaled before; all of shape (rows, heads, length, head size)."""
    if queries.shape[2] >= LONG_ROW_TOKENS:
        return scaled_dot_product_attention(queries, keys, values, mask, scale=1.0)
    scores = queries @ keys.transpose(-1, -2)
    if mask is not None:
        scores.add_(mask)
    return torch.softmax(scores, dim=-1) @ values


class CpuKernels:
    """How a CPU computes an encoder in the weights' own precision."""

    def adapt(self, weights: EncoderWeights) -> EncoderWeights:
        """With queries that come scaled for attention."""
        return scale_queries(weights)

    def linear(self, weights: Affine) -> Linear:
        """By oneDNN."""
        return FloatLinear(weights)

    def feed_forward(self, inner: Affine, outer: Affine) -> Callable[[torch.Tensor], torch.Tensor]:
        """One layer after the other."""
        return FeedForward(self.linear(inner), self.linear(outer))

    def calibrate(self, run: Callable[[TokenRows], object]) -> None:
        """There is nothing to learn."""

    def to_device(self, rows: PackedRows) -> DeviceRows:
        """Nothing is copied; which rows share a call of attention is decided."""
        groups = tuple(AttentionGroup.of(group) for group in grouped(rows.lengths[: rows.num_rows]))
        return DeviceRows.of(rows, torch.from_numpy(rows.buffer), groups)

    def attend(self, projected: torch.Tensor, rows: DeviceRows, num_heads: int) -> torch.Tensor:
        """One group of rows at a time."""
        hidden_size = projected.shape[1] // 3
        attended = projected.new_empty((len(projected), hidden_size))
        start = 0
        for group in rows.groups:
            end = start + group.num_tokens
            tokens = projected[start:end]
            # `index_select`, for indexing with brackets takes eight times as long.
            tokens = tokens if group.padded is None else tokens.index_select(0, group.padded)
            shape = (group.num_rows, group.length, 3, num_heads, hidden_size // num_heads)
            queries, keys, values = tokens.view(shape).permute(2, 0, 3, 1, 4).unbind()
            values = _attention(queries, keys, values, group.mask).transpose(1, 2)
            if group.real is None:
                attended[start:end].view(values.shape).copy_(values)
            else:
                padded = values.reshape(-1, hidden_size)
                torch.index_select(padded, 0, group.real, out=attended[start:end])
            start = end
        attended[start:] = 0
        return attended
