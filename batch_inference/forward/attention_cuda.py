"""Attention over rows of any lengths that lie one after the other, as GPUs have it. All take the same arguments:

queries, keys, values: shape (tokens, heads, head size), perhaps views of one tensor; row_starts: where each row starts
and where the last ends, int32, shape (rows + 1,); longest: tokens in the longest row, or more. They return shape
(tokens, heads, head size).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch.nn.functional import scaled_dot_product_attention


def attend_efficient(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, row_starts: torch.Tensor, longest: int
) -> torch.Tensor:
    """By tiles of 64 x 64 tokens: little of a tile is wasted on a tweet. Any precision, any GPU (bfloat16 from 8.0)."""
    result: torch.Tensor = torch.ops.aten._efficient_attention_forward(
        queries[None], keys[None], values[None], None, row_starts, row_starts, longest, longest, 0.0, 0, False
    )[0][0]
    return result


def attend_flash(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, row_starts: torch.Tensor, longest: int
) -> torch.Tensor:
    """FlashAttention-2, by tiles of 128 x 128 tokens: for long rows. float16 and bfloat16, from 8.0 on."""
    result: torch.Tensor = torch.ops.aten._flash_attention_forward(
        queries, keys, values, row_starts, row_starts, longest, longest, 0.0, False, False
    )[0]
    return result


def attend_row_by_row(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, row_starts: torch.Tensor, longest: int
) -> torch.Tensor:
    """In float32, anywhere, slowly: what the others are compared with, and what tests run on a CPU."""
    attended = torch.empty_like(queries, memory_format=torch.contiguous_format)
    for start, end in pairwise(row_starts.tolist()):
        if start < end:
            query, key, value = (part[start:end].float().transpose(0, 1) for part in (queries, keys, values))
            attended[start:end] = scaled_dot_product_attention(query, key, value).transpose(0, 1)
    return attended
