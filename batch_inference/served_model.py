"""One of an engine's models, and what the engine keeps for it alone."""

from __future__ import annotations

from dataclasses import dataclass

from batch_inference.answer_cache import AnswerCache
from batch_inference.budget import Budget
from batch_inference.model import EncoderModel
from batch_inference.model_stats import ModelStats
from batch_inference.settings import EncoderSettings


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model behind the queue.

    Attributes:
        settings: what it was loaded by.
        model: what is loaded.
        budget: tokens in one of its passes; less for a while after an out-of-memory.
        cache: its recent answers.
        stats: its counters.
    """

    settings: EncoderSettings
    model: EncoderModel
    budget: Budget
    cache: AnswerCache
    stats: ModelStats

    @property
    def name(self) -> str:
        """What the engine calls it."""
        return self.model.head.name

    def effective_max_length(self, max_length: int) -> int:
        """`max_length`, or what the model can take if that is less."""
        return min(max_length, self.model.max_tokens)
