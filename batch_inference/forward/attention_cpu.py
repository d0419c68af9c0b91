"""Attention on a CPU: rows of near lengths share a call, and what nobody looks at is not computed."""

from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention

from batch_inference.forward.attention_groups import by_group
from batch_inference.forward.kernels import DeviceRows, Linear

LONG_ROW_TOKENS = 128
"""Rows from here on take torch's fused attention, which keeps the scores of long rows in the caches. For the others it
is a detour: two products and a softmax take 0.2 to 0.7 times as long for rows of 5 to 37 tokens, 1.0 times at 128, and
1.2 times at 256 (AVX-512 and AVX2, heads of 32 and 64)."""


class CpuAttention:
    """Of every token: (tokens, hidden) to (tokens, hidden).

    Args:
        projection: gives queries, which come scaled, keys and values.
        num_heads: of attention.
    """

    def __init__(self, projection: Linear, num_heads: int) -> None:
        self._projection = projection
        self._num_heads = num_heads

    def __call__(self, hidden: torch.Tensor, rows: DeviceRows) -> torch.Tensor:
        """One group of rows at a time."""
        attended = torch.empty_like(hidden)
        head_size = hidden.shape[1] // self._num_heads
        end = 0
        for group, tokens in by_group(self._projection(hidden), rows.groups):
            start, end = end, end + group.num_tokens
            shape = (group.num_rows, group.length, 3, self._num_heads, head_size)
            queries, keys, values = tokens.view(shape).permute(2, 0, 3, 1, 4).unbind()
            values = _attention(queries, keys, values, group.mask).transpose(1, 2)
            if group.real is None:
                attended[start:end].view(values.shape).copy_(values)
            else:
                padded = values.reshape(-1, hidden.shape[1])
                torch.index_select(padded, 0, group.real, out=attended[start:end])
        attended[end:] = 0
        return attended


class CpuFirstAttention:
    """Of the first token of each row: (tokens, hidden) to (rows, hidden).

    Args:
        queries: gives those of the first tokens, scaled.
        keys_values: gives keys and values of all tokens.
        num_heads: of attention.
    """

    def __init__(self, queries: Linear, keys_values: Linear, num_heads: int) -> None:
        self._queries = queries
        self._keys_values = keys_values
        self._num_heads = num_heads

    def __call__(self, hidden: torch.Tensor, rows: DeviceRows) -> torch.Tensor:
        """One group of rows at a time. With one query a row, products by elements are faster than by matrices."""
        queries = self._queries(hidden.index_select(0, rows.first_tokens)).view(rows.num_rows, self._num_heads, -1)
        attended = torch.empty_like(queries)
        end = 0
        for group, tokens in by_group(self._keys_values(hidden), rows.groups):
            start, end = end, end + group.num_rows
            keys, values = tokens.view(group.num_rows, group.length, 2, *queries.shape[1:]).unbind(2)
            scores = (keys * queries[start:end, None]).sum(-1)
            if group.mask is not None:
                scores.add_(group.mask.view(group.num_rows, group.length, 1))
            weights = torch.softmax(scores, dim=1)
            torch.sum(values * weights[..., None], dim=1, out=attended[start:end])
        return attended.flatten(1)


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
