"""The rows of one request: each different row is run once, and none that the cache knows."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from batch_inference.answer_cache import AnswerCache, keys_of
from batch_inference.errors import BatchInferenceError
from batch_inference.text_groups import TextGroup
from batch_inference.token_rows import Indices, Outputs, TokenRows


class RequestRows:
    """A request's rows, which are asked for part by part, in order.

    Args:
        rows: all rows of the request.
        model: the name of the model that runs them.
        num_outputs: numbers that the model computes for a row.
        cache: of rows that were run before. If it is off, equal rows are run as often as they come.
    """

    def __init__(self, rows: TokenRows, model: str, num_outputs: int, cache: AnswerCache) -> None:
        self._rows = rows
        self._model = model
        self._cache = cache
        if not cache.is_on:
            return
        numbers: dict[bytes, int] = {}
        kinds = [numbers.setdefault(key, len(numbers)) for key in keys_of(rows)]
        self._keys = list(numbers)
        # Kinds are numbered in the order in which they come, so a part's new kinds are consecutive.
        self._kinds = np.array(kinds, np.intp)
        self._firsts = np.unique(self._kinds, return_index=True)[1] if len(numbers) < len(kinds) else self._kinds
        self._num_asked = 0
        self._outputs = np.empty((len(numbers), num_outputs), np.float32)

    def ask(self, start: int, end: int) -> AskedRows:
        """Rows `start` to `end` (exclusive), the next ones: a group of those that have to be run."""
        if not self._cache.is_on:
            return AskedRows(self, start, end, np.arange(0), TextGroup(self._rows.part(start, end), self._model))
        first = self._num_asked
        self._num_asked = last = max(first, int(self._kinds[start:end].max(initial=-1)) + 1)
        known = self._cache.look_up(self._keys[first:last])
        missing = [number for number, content in enumerate(known, first) if content is None]
        if len(missing) == end - start:
            return AskedRows(
                self, start, end, np.arange(first, last), TextGroup(self._rows.part(start, end), self._model)
            )
        for number, content in enumerate(known, first):
            if content is not None:
                self._outputs[number] = np.frombuffer(content, np.float32)
        kinds = np.array(missing, np.intp)
        return AskedRows(self, start, end, kinds, TextGroup(self._rows.select(self._firsts[kinds]), self._model))

    def outputs(self, asked: AskedRows) -> Outputs:
        """Wait for the outputs of rows that were asked for; the parts before them must have been waited for.

        Raises:
            ForwardPassError, DeviceLostError: the model failed on them.
            concurrent.futures.CancelledError: they were cancelled.
        """
        try:
            computed = asked.group.future.result()
        except BatchInferenceError as error:
            # Others may hold the same error, and a traceback keeps all that its frames know.
            raise copy.copy(error) from None
        if not self._cache.is_on:
            return computed
        if len(asked.kinds):
            self._outputs[asked.kinds] = computed
            self._cache.keep([self._keys[kind] for kind in asked.kinds.tolist()], computed)
        return self._outputs[self._kinds[asked.start : asked.end]]


@dataclass(frozen=True, slots=True, eq=False)
class AskedRows:
    """Consecutive rows of a request that were asked for.

    Attributes:
        request: all rows of the request.
        start, end: which of them.
        kinds: what the rows to be run are numbered among the request's different ones.
        group: the rows to be run.
    """

    request: RequestRows
    start: int
    end: int
    kinds: Indices
    group: TextGroup

    @property
    def num_found(self) -> int:
        """Rows that cost nothing."""
        return self.end - self.start - len(self.group.rows)

    def outputs(self) -> Outputs:
        """As `RequestRows.outputs`."""
        return self.request.outputs(self)
