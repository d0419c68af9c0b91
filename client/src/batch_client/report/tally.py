"""What the report counts, in bounded memory however many rows there are."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from batch_client.outcomes import Failure, Outcome, Prediction
from batch_client.report.groups import Groups

NUM_BINS = 20
_NUM_EXAMPLES = 5
_EXAMPLE_CHARACTERS = 280


@dataclass(frozen=True)
class Example:
    """A row worth showing: its number (from 1), its text, cut short, and what became of it."""

    row: int
    text: str
    outcome: Outcome


@dataclass
class Tally:
    """Counts over rows; add each row once, in order."""

    groups: Groups | None = None
    num_rows: int = 0
    sentiments: Counter[str] = field(default_factory=Counter)
    confidences: dict[str, list[int]] = field(default_factory=dict)
    """By sentiment: rows in each of `NUM_BINS` equal ranges of confidence from 0 to 1."""
    failures: Counter[str] = field(default_factory=Counter)
    num_truncated: int = 0
    failed: list[Example] = field(default_factory=list)
    truncated: list[Example] = field(default_factory=list)
    _confident: dict[str, list[tuple[float, int, Example]]] = field(default_factory=dict)
    _doubtful: list[tuple[float, int, Example]] = field(default_factory=list)

    def add(self, text: Any, outcome: Outcome, group: Any = None) -> None:
        """Count one row; `group` is its cell in the column to report by."""
        self.num_rows += 1
        if isinstance(outcome, Failure):
            self.failures[outcome.kind] += 1
            if len(self.failed) < _NUM_EXAMPLES:
                self.failed.append(self._example(text, outcome))
            return
        self.sentiments[outcome.sentiment] += 1
        bins = self.confidences.setdefault(outcome.sentiment, [0] * NUM_BINS)
        bins[min(int(outcome.confidence * NUM_BINS), NUM_BINS - 1)] += 1
        if outcome.truncated:
            self.num_truncated += 1
            if len(self.truncated) < _NUM_EXAMPLES:
                self.truncated.append(self._example(text, outcome))
        self._keep(self._confident.setdefault(outcome.sentiment, []), outcome.confidence, text, outcome)
        self._keep(self._doubtful, -outcome.confidence, text, outcome)
        if self.groups is not None:
            self.groups.add(group, outcome.sentiment)

    @property
    def confident(self) -> dict[str, list[Example]]:
        """By sentiment, the rows that the model is surest of, the surest first."""
        return {sentiment: _best_first(self._confident[sentiment]) for sentiment in sorted(self._confident)}

    @property
    def doubtful(self) -> list[Example]:
        """The rows that the model is least sure of, the most doubtful first."""
        return _best_first(self._doubtful)

    def _keep(self, heap: list[tuple[float, int, Example]], value: float, text: Any, outcome: Prediction) -> None:
        if len(heap) == _NUM_EXAMPLES and value <= heap[0][0]:
            return
        entry = (value, -self.num_rows, self._example(text, outcome))
        if len(heap) < _NUM_EXAMPLES:
            heapq.heappush(heap, entry)
        else:
            heapq.heapreplace(heap, entry)

    def _example(self, text: Any, outcome: Outcome) -> Example:
        shown = "" if text is None else str(text)
        shown = shown.encode("utf-8", "backslashreplace").decode().replace("\0", "\ufffd")
        if len(shown) > _EXAMPLE_CHARACTERS:
            shown = shown[:_EXAMPLE_CHARACTERS] + " …"
        return Example(self.num_rows, shown, outcome)


def _best_first(heap: Iterable[tuple[float, int, Example]]) -> list[Example]:
    return [example for _, _, example in sorted(heap, key=lambda entry: entry[:2], reverse=True)]
