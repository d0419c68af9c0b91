"""The longest row that a model can take, asked of its embeddings and not of its name."""

from __future__ import annotations

from typing import Any

MAX_UNLIMITED_TOKENS = 1024
"""Of a model that sets no limit, such as one with relative positions. As long as callers may ask for."""


def max_tokens_of(module: Any, tokenizer: Any) -> int:
    """Tokens of the longest row, special tokens included; the tokenizers of many checkpoints declare no limit.

    Models that count positions as RoBERTa does leave those up to the pad token's unused. Theirs have a `padding_idx`.
    """
    positions = getattr(module.config, "max_position_embeddings", None)
    if positions is None or positions <= 0:
        # That of a tokenizer without a limit is a number with thirty digits.
        return int(min(tokenizer.model_max_length, MAX_UNLIMITED_TOKENS))
    for name, embedding in module.named_modules():
        padding_idx = getattr(embedding, "padding_idx", None)
        if "position" in name.rsplit(".", 1)[-1] and padding_idx is not None:
            return int(positions) - int(padding_idx) - 1
    return int(positions)
