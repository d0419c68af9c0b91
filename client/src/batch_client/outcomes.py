"""What became of one text: a prediction, or a failure with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

SENTIMENT: Final = "sentiment"
"""The analysis that every service has, and the one that is meant where none is named."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one analysis says of a text.

    `label` is the most probable label and `confidence` its probability; `labels` are those that hold, the most
    probable first, and None where just one can hold. The other fields are as those of `Prediction`.
    """

    label: str
    confidence: float
    token_count: int | None = None
    truncated: bool | None = None
    scores: dict[str, float] | None = None
    tokens_dropped: int | None = None
    windows: int | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """The service's answer for one text.

    `confidence` and the values of `scores` are probabilities; `token_count` counts what the model saw;
    `truncated` says that it did not see the whole text; `scores` is None unless all scores were asked for;
    `tokens_dropped` and `windows` are how many tokens the model did not see and in how many windows it read the text.
    None stands for what the server does not say, and for a sentiment that was not asked for. `analyses` has the answers
    by name, in the order asked for, if analyses were asked for; the counts here are those of the first one then, and
    `truncated` says that one of them did not see the whole text.
    """

    sentiment: str | None
    confidence: float | None
    token_count: int | None
    truncated: bool | None
    scores: dict[str, float] | None = None
    tokens_dropped: int | None = None
    windows: int | None = None
    analyses: dict[str, Analysis] = field(default_factory=dict)

    @property
    def by_analysis(self) -> dict[str, Analysis]:
        """`analyses`; where none were asked for, the sentiment as the only one."""
        if self.analyses:
            return self.analyses
        assert self.sentiment is not None
        assert self.confidence is not None
        return {SENTIMENT: Analysis(self.sentiment, self.confidence, scores=self.scores)}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a text has no prediction: `kind` is one word for counting, `reason` one sentence for people."""

    kind: str
    reason: str


Outcome: TypeAlias = Prediction | Failure


def prediction_from(analyses: dict[str, Analysis]) -> Prediction:
    """The prediction with these answers, by analysis; there is at least one."""
    first = next(iter(analyses.values()))
    label = confidence = scores = None
    if sentiment := analyses.get(SENTIMENT):
        label, confidence, scores = sentiment.label, sentiment.confidence, sentiment.scores
    known = [analysis.truncated for analysis in analyses.values() if analysis.truncated is not None]
    is_truncated = any(known) if known else None
    return Prediction(
        label, confidence, first.token_count, is_truncated, scores, first.tokens_dropped, first.windows, analyses
    )
