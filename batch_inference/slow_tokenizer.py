"""Tokenizers that transformers has in Python only, such as BERTweet's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from batch_inference.token_rows import TokenRows


def encode_slowly(tokenizer: Any) -> Callable[[Sequence[str]], TokenRows]:
    """From whole texts to their ids, without special tokens, by a tokenizer written in Python.

    A text is text whatever it spells. Any number of threads may call it; one at a time is served.
    """
    lock = threading.Lock()

    def encode(texts: Sequence[str]) -> TokenRows:
        with lock:
            return TokenRows.of(
                [tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] for text in texts]
            )

    return encode
