"""What the report counts, in bounded memory however many rows there are."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from batch_client.outcomes import Failure, Outcome
from batch_client.report.groups import Groups

NUM_BINS = 20
_NUM_EXAMPLES = 5
_EXAMPLE_CHARACTERS = 280


@dataclass
class Example:
    """A row worth showing: its number (from 1), its text, cut short, and what became of it.

    `num_rows` counts the rows with this text, of which it is the first.
    """

    row: int
    text: str
    outcome: Outcome
    num_rows: int = 1


class _Best:
    """The examples of the highest value, each text once."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str, Example]] = []
        self._kept: dict[str, Example] = {}

    def add(self, value: float, text: str, make: Callable[[], Example]) -> None:
        """Keep an example if it is among the best. Of equal texts, which have equal values, none comes back."""
        if text in self._kept:
            self._kept[text].num_rows += 1
            return
        if len(self._heap) == _NUM_EXAMPLES:
            if value <= self._heap[0][0]:
                return
            del self._kept[heapq.heappop(self._heap)[2]]
        self._kept[text] = example = make()
        heapq.heappush(self._heap, (value, -example.row, text, example))

    def best_first(self) -> list[Example]:
        """The examples, the best first."""
        return [example for *_, example in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


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
    _failed: dict[tuple[str, str], Example] = field(default_factory=dict)
    _truncated: dict[tuple[str, str], Example] = field(default_factory=dict)
    _confident: dict[str, _Best] = field(default_factory=dict)
    _doubtful: _Best = field(default_factory=_Best)

    def add(self, text: Any, outcome: Outcome, group: Any = None) -> None:
        """Count one row; `group` is its cell in the column to report by."""
        self.num_rows += 1
        if isinstance(outcome, Failure):
            self.failures[outcome.kind] += 1
            self._keep_first(self._failed, text, outcome.reason, outcome)
            return
        self.sentiments[outcome.sentiment] += 1
        bins = self.confidences.setdefault(outcome.sentiment, [0] * NUM_BINS)
        bins[min(int(outcome.confidence * NUM_BINS), NUM_BINS - 1)] += 1
        if outcome.truncated:
            self.num_truncated += 1
            self._keep_first(self._truncated, text, "", outcome)
        confident = self._confident.setdefault(outcome.sentiment, _Best())
        confident.add(outcome.confidence, str(text), lambda: self._example(text, outcome))
        self._doubtful.add(-outcome.confidence, str(text), lambda: self._example(text, outcome))
        if self.groups is not None:
            self.groups.add(group, outcome.sentiment)

    @property
    def confident(self) -> dict[str, list[Example]]:
        """By sentiment, the rows that the model is surest of, the surest first."""
        return {sentiment: self._confident[sentiment].best_first() for sentiment in sorted(self._confident)}

    @property
    def doubtful(self) -> list[Example]:
        """The rows that the model is least sure of, the most doubtful first."""
        return self._doubtful.best_first()

    @property
    def failed(self) -> list[Example]:
        """The first rows without an answer."""
        return list(self._failed.values())

    @property
    def truncated(self) -> list[Example]:
        """The first rows of which the model did not see all."""
        return list(self._truncated.values())

    def _keep_first(self, kept: dict[tuple[str, str], Example], text: Any, reason: str, outcome: Outcome) -> None:
        key = str(text), reason
        if key in kept:
            kept[key].num_rows += 1
        elif len(kept) < _NUM_EXAMPLES:
            kept[key] = self._example(text, outcome)

    def _example(self, text: Any, outcome: Outcome) -> Example:
        shown = "" if text is None else str(text)
        shown = shown.encode("utf-8", "backslashreplace").decode().replace("\0", "\ufffd")
        if len(shown) > _EXAMPLE_CHARACTERS:
            shown = shown[:_EXAMPLE_CHARACTERS] + " …"
        return Example(self.num_rows, shown, outcome)
