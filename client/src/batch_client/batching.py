"""From any number of texts to requests of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from batch_client.outcomes import Outcome
from batch_client.texts import check_text

_MAX_ROWS_PER_TEXT = 10
"""A batch ends after this many rows per text it may send, so that a long run of blank rows stays bounded too."""


def split_into_batches(values: Iterable[object], max_texts: int, max_bytes: int) -> Iterator[list[str | Outcome]]:
    """Cut `values` into batches, in order: each entry is a text to send or what became of it already.

    A batch holds at most `max_texts` texts of together at most `max_bytes` UTF-8 bytes (a longer text goes alone).
    """
    batch: list[str | Outcome] = []
    num_texts = num_bytes = 0
    for value in values:
        item = check_text(value)
        size = _num_bytes(item) if isinstance(item, str) else 0
        is_full = size and (num_texts == max_texts or (num_texts and num_bytes + size > max_bytes))
        if is_full or len(batch) == max_texts * _MAX_ROWS_PER_TEXT:
            yield batch
            batch, num_texts, num_bytes = [], 0, 0
        batch.append(item)
        num_texts += size > 0
        num_bytes += size
    if batch:
        yield batch


def _num_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
