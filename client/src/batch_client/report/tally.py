"""What the report counts, in bounded memory however many rows there are."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from batch_client.outcomes import Analysis, Failure, Outcome
from batch_client.report.groups import Groups

NUM_BINS = 20
_NUM_EXAMPLES = 5
_EXAMPLE_CHARACTERS = 280


@dataclass
class Example:
    """A row worth showing: its number (from 1), its text, cut short, and what is said of it.

    `num_rows` counts the rows with this text, of which it is the first.
    """

    row: int
    text: str
    said: str
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
class AnalysisTally:
    """Counts over the rows that one analysis answered."""

    groups: Groups | None = None
    num_rows: int = 0
    best: Counter[str] = field(default_factory=Counter)
    """Rows by their most probable label."""
    holding: Counter[str] = field(default_factory=Counter)
    """Rows by each label that holds, where several may."""
    is_multi_label: bool = False
    confidences: dict[str, list[int]] = field(default_factory=dict)
    """By label: rows in each of `NUM_BINS` equal ranges of confidence from 0 to 1."""
    _confident: dict[str, _Best] = field(default_factory=dict)
    _doubtful: _Best = field(default_factory=_Best)

    def add(self, analysis: Analysis, text: str, make: Callable[[], Example], group: Any) -> None:
        """Count one row; `make` makes an example of it."""
        label, confidence = analysis.label, analysis.confidence
        self.num_rows += 1
        self.best[label] += 1
        if analysis.labels is not None:
            self.is_multi_label = True
            self.holding.update(analysis.labels)
        bins = self.confidences.setdefault(label, [0] * NUM_BINS)
        bins[min(int(confidence * NUM_BINS), NUM_BINS - 1)] += 1
        self._confident.setdefault(label, _Best()).add(confidence, text, make)
        self._doubtful.add(-confidence, text, make)
        if self.groups is not None:
            self.groups.add(group, label)

    @property
    def confident(self) -> dict[str, list[Example]]:
        """By label, the rows that the model is surest of, the surest first."""
        return {label: self._confident[label].best_first() for label in sorted(self._confident)}

    @property
    def doubtful(self) -> list[Example]:
        """The rows that the model is least sure of, the most doubtful first."""
        return self._doubtful.best_first()


@dataclass
class Tally:
    """Counts over rows; add each row once, in order. `group_column` is the one to report by."""

    group_column: str | None = None
    num_rows: int = 0
    analyses: dict[str, AnalysisTally] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    num_truncated: int = 0
    _failed: dict[tuple[str, str], Example] = field(default_factory=dict)
    _truncated: dict[tuple[str, str], Example] = field(default_factory=dict)

    def add(self, text: Any, outcome: Outcome, group: Any = None) -> None:
        """Count one row; `group` is its cell in the column to report by."""
        self.num_rows += 1
        if isinstance(outcome, Failure):
            self.failures[outcome.kind] += 1
            self._keep_first(self._failed, text, outcome.reason, lambda: self._example(text, outcome.reason))
            return
        analyses = outcome.by_analysis
        if outcome.truncated:
            self.num_truncated += 1
            self._keep_first(self._truncated, text, "", lambda: self._example(text, _said(*analyses.values())))
        for name, analysis in analyses.items():
            if name not in self.analyses:
                self.analyses[name] = AnalysisTally(Groups(self.group_column) if self.group_column else None)
            make = partial(lambda analysis: self._example(text, _said(analysis)), analysis)
            self.analyses[name].add(analysis, str(text), make, group)

    @property
    def failed(self) -> list[Example]:
        """The first rows without an answer."""
        return list(self._failed.values())

    @property
    def truncated(self) -> list[Example]:
        """The first rows of which the model did not see all."""
        return list(self._truncated.values())

    def _keep_first(
        self, kept: dict[tuple[str, str], Example], text: Any, reason: str, make: Callable[[], Example]
    ) -> None:
        key = str(text), reason
        if key in kept:
            kept[key].num_rows += 1
        elif len(kept) < _NUM_EXAMPLES:
            kept[key] = make()

    def _example(self, text: Any, said: str) -> Example:
        shown = "" if text is None else str(text)
        shown = shown.encode("utf-8", "backslashreplace").decode().replace("\0", "\ufffd")
        if len(shown) > _EXAMPLE_CHARACTERS:
            shown = shown[:_EXAMPLE_CHARACTERS] + " …"
        return Example(self.num_rows, shown, said)


def _said(*analyses: Analysis) -> str:
    return ", ".join(f"{analysis.label} {analysis.confidence:.1%}" for analysis in analyses)
