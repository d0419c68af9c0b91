"""The columns that a result has besides those of its input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from batch_client.errors import InputError
from batch_client.outcomes import Outcome, Prediction

_DIGITS = 4
"""Decimals of a probability. The service promises no more: the same text in other company may differ beyond."""


@dataclass(frozen=True)
class PredictionColumns:
    """The added columns: their names begin with `prefix`; one per label of `labels`, None while unknown."""

    prefix: str
    labels: Sequence[str] | None = ()

    @cached_property
    def types(self) -> Mapping[str, type]:
        """The Python type of each column, by name, in order."""
        names: dict[str, type] = {"sentiment": str, "confidence": float, "token_count": int, "truncated": bool}
        names |= {f"score_{label.lower()}": float for label in self.labels or ()}
        names["error"] = str
        return {self.prefix + name: kind for name, kind in names.items()}

    def values(self, outcome: Outcome) -> dict[str, Any]:
        """The cells of one row, by name; what the outcome does not have is None."""
        if isinstance(outcome, Prediction):
            scores = outcome.scores or {}
            cells: list[Any] = [
                outcome.sentiment,
                round(outcome.confidence, _DIGITS),
                outcome.token_count,
                outcome.truncated,
                *(round(scores[label], _DIGITS) if label in scores else None for label in self.labels or ()),
                None,
            ]
        else:
            cells = [None] * (4 + len(self.labels or ())) + [outcome.reason]
        return dict(zip(self.types, cells, strict=True))

    def check_against(self, columns: Sequence[str]) -> None:
        """Raise InputError if the input has a column of the same name, or one that a label's might get."""
        for name in columns:
            if name in self.types or (self.labels is None and name.startswith(f"{self.prefix}score_")):
                raise InputError(
                    f"the input has a column {name!r} already; choose other names with --prefix predicted_"
                )


def columns_of(outcomes: Sequence[Outcome], prefix: str = "") -> dict[str, list[Any]]:
    """The added columns as lists, by name; one per label if any outcome has scores."""
    scored = (outcome.scores for outcome in outcomes if isinstance(outcome, Prediction) and outcome.scores)
    columns = PredictionColumns(prefix, sorted({label for scores in scored for label in scores}))
    rows = [columns.values(outcome) for outcome in outcomes]
    return {name: [row[name] for row in rows] for name in columns.types}
