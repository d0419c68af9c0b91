"""What the engine gives back for some texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batch_inference.text_groups import PassUsage
from batch_inference.token_rows import Outputs


@dataclass(frozen=True, slots=True)
class Prediction:
    """A classifier's answer for one text.

    Attributes:
        label: the most probable label.
        confidence: its probability.
        scores: every label's probability, in the order of the model's outputs.
        num_tokens: tokens the model saw, special tokens included, padding not.
        is_truncated: the text had more tokens than that.
    """

    label: str
    confidence: float
    scores: dict[str, float]
    num_tokens: int
    is_truncated: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """The model's answers in the order of the texts, and what they cost.

    Attributes:
        labels: names of the outputs, in their order; empty if they have none.
        is_multi_label: any number of the labels may hold for a text.
        answers: what the head makes of the outputs, such as each label's probability; shape (texts, outputs).
        outputs: what the model computed, such as each label's logit; shape (texts, outputs).
        num_tokens: tokens of each text that the model saw, special tokens included, padding not; shape (texts,).
        num_dropped: tokens of each text beyond those; shape (texts,).
        num_windows: windows that each text was read in; shape (texts,). If there were several, answers and
            outputs are means over them, weighted by the tokens that each adds.
        num_tokens_run: tokens of all rows: what windows have in common is counted in each.
        queue_time_s: seconds from the request's arrival to the first forward pass that held one of these texts.
        usage: the forward passes that held these texts.
    """

    labels: tuple[str, ...]
    is_multi_label: bool
    answers: Outputs
    outputs: Outputs
    num_tokens: NDArray[np.int32]
    num_dropped: NDArray[np.int32]
    num_windows: NDArray[np.int32]
    num_tokens_run: int
    queue_time_s: float
    usage: PassUsage

    def __len__(self) -> int:
        return len(self.num_tokens)

    @property
    def predictions(self) -> list[Prediction]:
        """A classifier's answers as one object per text, made anew."""
        return [
            Prediction(
                label=self.labels[best],
                confidence=probabilities[best],
                scores=dict(zip(self.labels, probabilities, strict=True)),
                num_tokens=num_tokens,
                is_truncated=num_dropped > 0,
            )
            for best, probabilities, num_tokens, num_dropped in self.classified()
        ]

    def classified(self) -> Iterator[tuple[int, list[float], int, int]]:
        """Of a classifier, for each text: the index of its best label, the probability of each label, how many tokens
        were read, and how many were not."""
        return zip(
            self.answers.argmax(axis=1).tolist(),
            self.answers.tolist(),
            self.num_tokens.tolist(),
            self.num_dropped.tolist(),
            strict=True,
        )


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What several models say of the same texts.

    Attributes:
        by_model: by the models' names, in the order in which they were asked for; at least one.
    """

    by_model: Mapping[str, Outcome]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def first(self) -> Outcome:
        """That of the model that was named first."""
        return next(iter(self.by_model.values()))

    @property
    def num_tokens_run(self) -> int:
        """As `Outcome`, of all models together."""
        return sum(outcome.num_tokens_run for outcome in self.by_model.values())

    @property
    def queue_time_s(self) -> float:
        """Seconds from the request's arrival to the first forward pass of any of the models."""
        ran = (outcome for outcome in self.by_model.values() if outcome.usage.started_at is not None)
        return min((outcome.queue_time_s for outcome in ran), default=0.0)

    @property
    def usage(self) -> PassUsage:
        """The forward passes of all models together."""
        usages = [outcome.usage for outcome in self.by_model.values()]
        return PassUsage(
            started_at=min((usage.started_at for usage in usages if usage.started_at is not None), default=None),
            num_passes=sum(usage.num_passes for usage in usages),
            inference_time_s=sum(usage.inference_time_s for usage in usages),
            num_tokens=sum(usage.num_tokens for usage in usages),
            num_padding_tokens=sum(usage.num_padding_tokens for usage in usages),
        )
