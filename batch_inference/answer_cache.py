"""Answers that cost no forward pass: the outputs of rows that were run a moment ago."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import islice
from typing import Final

from batch_inference.token_rows import Outputs, TokenRows

ENTRY_BYTES: Final = 200
"""What a row costs besides its token ids and its outputs. Measured with tracemalloc, and rounded up."""

EVICTED_AT_ONCE: Final = 64


class AnswerCache:
    """Keeps the outputs of recent rows, up to a size. Any number of threads may use it at once.

    Rows are entered when their outputs are there: no request ever waits for another's.

    Args:
        max_bytes: what it may hold, about; 0 turns it off.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._outputs: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    @property
    def is_on(self) -> bool:
        """Whether it keeps anything."""
        return self._max_bytes > 0

    @property
    def num_bytes(self) -> int:
        """What it holds, about."""
        return self._num_bytes

    def look_up(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The outputs of each row as the bytes of its float32 numbers; None where they are not known."""
        with self._lock:
            return list(map(self._outputs.get, keys))

    def keep(self, keys: Sequence[bytes], outputs: Outputs) -> None:
        """Enter rows with their outputs; the oldest entries go where there is no room."""
        content = outputs.tobytes()
        size = outputs.itemsize * outputs.shape[1]
        with self._lock:
            entries = self._outputs
            for number, key in enumerate(keys):
                if key not in entries:
                    entries[key] = content[number * size : (number + 1) * size]
                    self._num_bytes += len(key) + size + ENTRY_BYTES
            # A dictionary keeps the order in which its entries came.
            while self._num_bytes > self._max_bytes and entries:
                for key in list(islice(entries, EVICTED_AT_ONCE)):
                    self._num_bytes -= len(key) + len(entries.pop(key)) + ENTRY_BYTES


def keys_of(rows: TokenRows) -> list[bytes]:
    """What distinguishes rows: their token ids."""
    content = rows.input_ids.tobytes()
    ends = (rows.lengths.cumsum() * rows.input_ids.itemsize).tolist()
    return [content[start:end] for start, end in zip([0, *ends], ends, strict=False)]
