"""Answers that cost no forward pass: the same tokens were run a moment ago, or are on their way for somebody else."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np

from batch_inference.errors import BatchInferenceError
from batch_inference.token_rows import Indices, Outputs, TokenRows

Place = tuple[Future[Outputs], int]
"""Where a row's outputs are, or will be: the future of its group, and its index there."""

ENTRY_BYTES: Final = 150
GROUP_BYTES: Final = 1800
"""What a row costs besides its token ids, and what the future of its group costs, which stays with the rows. Measured
with tracemalloc, and rounded up."""

EVICTED_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class LookUp:
    """What the cache knows of some rows.

    Attributes:
        missing: indices of the rows that have to be run, each different from the others; they are expected from the
            future that was given.
        found: the index of each other row, and where its outputs are.
    """

    missing: Indices
    found: list[tuple[int, Place]]


class AnswerCache:
    """Remembers where the outputs of recent rows are, up to a size. Any number of threads may use it at once.

    Rows are entered when they are asked for, not when they are done: so equal rows in flight are computed once.

    Args:
        max_bytes: what it may hold, about; 0 turns it off.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._places: dict[bytes, Place] = {}
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        """What it holds, about."""
        return self._num_bytes

    def look_up(self, rows: TokenRows, outputs: Future[Outputs]) -> LookUp:
        """Find rows, and enter those that are not there as expected from `outputs`, in the order of `missing`."""
        if not self._max_bytes:
            return LookUp(np.arange(len(rows)), [])
        keys = _keys(rows)
        missing: list[int] = []
        found: list[tuple[int, Place]] = []
        with self._lock:
            places = self._places
            for index, key in enumerate(keys):
                place = places.get(key)
                if place is None:
                    places[key] = place = (outputs, len(missing))
                    self._num_bytes += _size(key, place)
                    missing.append(index)
                else:
                    found.append((index, place))
            self._evict()
        return LookUp(np.array(missing, np.intp), found)

    def forget(self, rows: TokenRows) -> None:
        """Forget rows whose outputs will not come."""
        with self._lock:
            for key in _keys(rows):
                if place := self._places.pop(key, None):
                    self._num_bytes -= _size(key, place)

    def _evict(self) -> None:
        """Let the oldest entries go; a dictionary keeps the order in which they came."""
        while self._num_bytes > self._max_bytes and self._places:
            for key in list(islice(self._places, EVICTED_AT_ONCE)):
                self._num_bytes -= _size(key, self._places.pop(key))


def fill_in(outputs: Outputs, found: list[tuple[int, Place]]) -> Indices:
    """Wait for what was found, and write it into its rows of `outputs`.

    Returns:
        The rows that get nothing: others had asked for them, and were cancelled or failed.
    """
    by_group: dict[Future[Outputs], tuple[list[int], list[int]]] = {}
    for index, (future, place) in found:
        indices, places = by_group.setdefault(future, ([], []))
        indices.append(index)
        places.append(place)
    lost: list[int] = []
    for future, (indices, places) in by_group.items():
        try:
            outputs[indices] = future.result()[places]
        except (CancelledError, BatchInferenceError):
            lost += indices
    return np.array(lost, np.intp)


def _size(key: bytes, place: Place) -> int:
    """Bytes of an entry; a group's first row answers for its future."""
    return len(key) + ENTRY_BYTES + (0 if place[1] else GROUP_BYTES)


def _keys(rows: TokenRows) -> list[bytes]:
    """What tells rows apart: their token ids."""
    content = rows.input_ids.tobytes()
    ends = (rows.lengths.cumsum() * rows.input_ids.itemsize).tolist()
    return [content[start:end] for start, end in zip([0, *ends], ends, strict=False)]
