"""Why rows of a run have no answer, counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batch_client.journal import Journal
from batch_client.outcomes import Failure


@dataclass
class Failed:
    """The rows that failed for one kind of reason: how many, and the first of them, its number counted from 1."""

    first_row: int
    first_reason: str
    num_rows: int = 0


def failures_of(journal: Journal) -> Mapping[str, Failed]:
    """The failed rows of a run by kind, the most frequent first."""
    if not journal.num_failed:
        return {}
    failures: dict[str, Failed] = {}
    for number, outcome in enumerate(journal.outcomes(), 1):
        if isinstance(outcome, Failure):
            failures.setdefault(outcome.kind, Failed(number, outcome.reason)).num_rows += 1
    return dict(sorted(failures.items(), key=lambda item: -item[1].num_rows))
