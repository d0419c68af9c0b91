"""The columns that a result has besides those of its input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from batch_client.errors import InputError
from batch_client.outcomes import SENTIMENT, Analysis, Failure, Outcome, Prediction

_DIGITS = 4
"""Decimals of a probability. The service promises no more: the same text in other company may differ beyond."""

LABEL_SEPARATOR = "|"
"""Between the labels of one cell; pandas' `str.get_dummies` makes columns of such cells."""


@dataclass(frozen=True)
class Shape:
    """What an analysis's answers have: the labels in `scored` have a column each, and several or just one may hold."""

    scored: Sequence[str] = ()
    is_multi_label: bool = False

    @cached_property
    def score_names(self) -> Mapping[str, str]:
        """How the column of each label's probability is called, after the analysis: in lower case, unless labels
        differ in nothing else."""
        cases = ({label.lower() for label in self.scored}, {label.upper() for label in self.scored})
        is_lower = all(len(case) == len(self.scored) for case in cases)
        return {label: f"score_{label.lower() if is_lower else label}" for label in self.scored}


@dataclass(frozen=True)
class PredictionColumns:
    """The added columns; their names begin with `prefix`.

    Args:
        analyses: those asked for; none is the sentiment alone, whose columns have names without `sentiment_`.
        shapes: of the answers, by analysis; what is missing there has no columns but its own.
    """

    prefix: str = ""
    analyses: Sequence[str] = ()
    shapes: Mapping[str, Shape] | None = None

    @cached_property
    def types(self) -> Mapping[str, type]:
        """The Python type of each column, by name, in order."""
        return dict(self._columns())

    def type_of(self, name: str) -> type:
        """The Python type of a column, also of one that only some shapes have."""
        is_labels = any(name == f"{self._stem(analysis)}labels" for analysis in self.analyses)
        return str if is_labels else self.types.get(name, float)

    def values(self, outcome: Outcome) -> dict[str, Any]:
        """The cells of one row, by name; what the outcome does not have is None."""
        row: dict[str, Any] = dict.fromkeys(self.types)
        if isinstance(outcome, Failure):
            row[f"{self.prefix}error"] = outcome.reason
            return row
        row[f"{self.prefix}token_count"] = outcome.token_count
        row[f"{self.prefix}truncated"] = outcome.truncated
        for name, analysis in outcome.by_analysis.items():
            self._fill(row, name, analysis)
        return row

    def check_against(self, columns: Sequence[str], all_scores: bool = False) -> None:
        """Raise InputError if the added columns are in the way of those of an input, or of each other.

        Args:
            columns: of the input.
            all_scores: whether there will be columns for labels that are not known yet.
        """
        counts = Counter(name for name, _ in self._columns())
        if twice := [name for name, count in counts.items() if count > 1]:
            raise InputError(
                f"these analyses would give the result two columns named {twice[0]!r}; ask for them in two runs"
            )
        stems = [self._stem(name) for name in self.analyses or (SENTIMENT,)]
        for name in columns:
            may_be_labels = self.analyses and name in [f"{stem}labels" for stem in stems]
            may_be_score = all_scores and name.startswith(tuple(f"{stem}score_" for stem in stems))
            if name in self.types or may_be_labels or may_be_score:
                raise InputError(
                    f"the input has a column {name!r} already; choose other names with --prefix predicted_"
                )

    def _columns(self) -> list[tuple[str, type]]:
        prefix, counts = self.prefix, [("token_count", int), ("truncated", bool)]
        added: list[tuple[str, type]] = []
        for name in self.analyses or (SENTIMENT,):
            stem, shape = self._stem(name), (self.shapes or {}).get(name, Shape())
            added += [(f"{prefix}{name}", str), (f"{stem}confidence", float)]
            if not self.analyses:
                added += [(prefix + each, kind) for each, kind in counts]
            if shape.is_multi_label:
                added.append((f"{stem}labels", str))
            added += [(stem + score_name, float) for score_name in shape.score_names.values()]
        if self.analyses:
            added += [(prefix + each, kind) for each, kind in counts]
        return [*added, (f"{prefix}error", str)]

    def _stem(self, analysis: str) -> str:
        """How the names of an analysis's columns begin, that of its label apart."""
        return f"{self.prefix}{analysis}_" if self.analyses else self.prefix

    def _fill(self, row: dict[str, Any], name: str, analysis: Analysis) -> None:
        stem, shape = self._stem(name), (self.shapes or {}).get(name, Shape())
        row[self.prefix + name] = analysis.label
        row[f"{stem}confidence"] = round(analysis.confidence, _DIGITS)
        if shape.is_multi_label and analysis.labels is not None:
            row[f"{stem}labels"] = LABEL_SEPARATOR.join(analysis.labels)
        scores = analysis.scores or {}
        for label, score_name in shape.score_names.items():
            if label in scores:
                row[stem + score_name] = round(scores[label], _DIGITS)


def shapes_of(outcomes: Iterable[Outcome]) -> dict[str, Shape]:
    """What the answers of each analysis have, taken together; empty if there is no answer. Labels are sorted."""
    scored: dict[str, set[str]] = {}
    multi_label: set[str] = set()
    for outcome in outcomes:
        if isinstance(outcome, Prediction):
            for name, analysis in outcome.by_analysis.items():
                scored.setdefault(name, set()).update(analysis.scores or ())
                if analysis.labels is not None:
                    multi_label.add(name)
    return {name: Shape(sorted(labels), name in multi_label) for name, labels in scored.items()}


def columns_of(outcomes: Sequence[Outcome], prefix: str = "", analyses: Sequence[str] = ()) -> dict[str, list[Any]]:
    """The added columns as lists, by name; one per label if any outcome has scores."""
    columns = PredictionColumns(prefix, analyses, shapes_of(outcomes))
    rows = [columns.values(outcome) for outcome in outcomes]
    return {name: [row[name] for row in rows] for name in columns.types}
