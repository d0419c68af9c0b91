"""What became of one text: a prediction, or a failure with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Prediction:
    """The service's answer for one text.

    `confidence` and the values of `scores` are probabilities; `token_count` counts what the model saw;
    `truncated` says that it did not see the whole text; `scores` is None unless all scores were asked for;
    `tokens_dropped` and `windows` are how many tokens the model did not see and in how many windows it read the text.
    None stands for what the server does not say.
    """

    sentiment: str
    confidence: float
    token_count: int | None
    truncated: bool | None
    scores: dict[str, float] | None = None
    tokens_dropped: int | None = None
    windows: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a text has no prediction: `kind` is one word for counting, `reason` one sentence for people."""

    kind: str
    reason: str


Outcome: TypeAlias = Prediction | Failure
