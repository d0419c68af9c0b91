"""How a checkpoint's tokenizer lays a row out: what transformers' own pass wants to know besides the ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batch_inference.errors import ModelLoadError
from batch_inference.token_rows import Int32Array


@dataclass(frozen=True, slots=True)
class RowLayout:
    """The padding of rows, and the types of their tokens.

    Attributes:
        pad_token_id: what fills a row up.
        is_padded_left: it stands before the tokens, not after them.
        types: of a row's tokens: those before the text, that of the text's own, those after it. None if the model
            has none, or all are of the first type, which is what it takes them for.
    """

    pad_token_id: int = 0
    is_padded_left: bool = False
    types: tuple[tuple[int, ...], int, tuple[int, ...]] | None = None

    def is_token(self, lengths: Int32Array) -> NDArray[np.bool_]:
        """Which places of rows of these lengths hold tokens; shape (rows, longest)."""
        longest = int(lengths.max())
        places = np.arange(longest)
        return places >= longest - lengths[:, None] if self.is_padded_left else places < lengths[:, None]

    def token_types(self, is_token: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """The types of those places; padding has the first."""
        if self.types is None:
            return None
        before, text, after = self.types
        types = np.where(is_token, text, 0).astype(np.int64)
        rows = np.arange(len(types))
        first = is_token.argmax(axis=1)
        end = first + is_token.sum(axis=1)
        for offset, kind in enumerate(before):
            types[rows, first + offset] = kind
        for offset, kind in enumerate(reversed(after), 1):
            types[rows, end - offset] = kind
        return types


def layout_of(tokenizer: Any, config: Any) -> RowLayout:
    """That of a tokenizer of transformers, for a model with this configuration.

    Raises:
        ModelLoadError: it has no token that could pad a row.
    """
    encoded = tokenizer("a")
    ids = list(encoded["input_ids"])
    types = list(encoded.get("token_type_ids", ()))
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    start = next(i for i in range(len(ids)) if ids[i : i + len(plain)] == plain)
    end = start + len(plain)
    has_types = any(types)
    return RowLayout(
        _pad_token_id(tokenizer, config, {*ids[:start], *ids[end:]}),
        tokenizer.padding_side == "left",
        (tuple(types[:start]), types[start], tuple(types[end:])) if has_types else None,
    )


def _pad_token_id(tokenizer: Any, config: Any, frame: set[int]) -> int:
    """Without a pad token, another special token will do, if it stands in no row: no text can spell one."""
    for declared in (config.pad_token_id, tokenizer.pad_token_id):
        if declared is not None:
            return int(declared)
    for token_id in tokenizer.all_special_ids:
        if token_id not in frame:
            return int(token_id)
    raise ModelLoadError(
        "the model's tokenizer has no pad token, so that rows of different lengths cannot run together; set pad_token "
        "in its tokenizer_config.json and pad_token_id in its config.json, as they were in training."
    )
