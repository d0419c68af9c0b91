"""How well labels were guessed, label by label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

LabelT = TypeVar("LabelT", bound=Hashable)


@dataclass(frozen=True)
class Measures:
    """Of one label: `recall` is the share of its texts that got it, `f1` the harmonic mean of that and precision."""

    recall: float
    f1: float


def measures_of(expected: Sequence[LabelT], guessed: Sequence[LabelT]) -> dict[LabelT, Measures]:
    """By label, for those that occur in `expected`, in the order in which they do."""
    total, named = Counter(expected), Counter(guessed)
    right = Counter(label for label, guess in zip(expected, guessed, strict=True) if label == guess)
    return {
        label: Measures(right[label] / total[label], 2 * right[label] / (total[label] + named[label]))
        for label in total
    }
