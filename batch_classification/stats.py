"""`GET /batch-stats` of the classifier: the engine's figures, and those of each analysis."""

from __future__ import annotations

from pydantic import BaseModel, Field

from batch_classification.settings import ClassifierSettings
from batch_http.engine_stats import BatchStats, batch_stats
from batch_inference.engine import Engine
from batch_inference.served_model import ServedModel


class AnalysisStats(BaseModel):
    """An analysis, its model, and what that has done since the instance started."""

    model: str
    revision: str | None
    precision: str
    forward: str
    text_preparation: str
    labels: list[str]
    is_multi_label: bool = Field(description="Any number of the labels may hold for a text")
    texts: int = Field(description="Texts that got a prediction")
    truncated_texts: int
    forward_passes: int
    mean_texts_per_pass: float
    padding_ratio: float
    cache_hits: int
    cache_misses: int
    max_batch_tokens: int


class ClassifierStats(BatchStats):
    """Answer of `GET /batch-stats`.

    Model, precision, forward, max_batch_tokens and text_preparation are those of sentiment; counts are of all analyses.
    """

    analyses: dict[str, AnalysisStats] = Field(description="What requests may name in `analyses`, sentiment first")


def classifier_stats(engine: Engine, settings: ClassifierSettings) -> ClassifierStats:
    """Answer of `/batch-stats`."""
    analyses = {name: _analysis_stats(served) for name, served in engine.served.items()}
    return ClassifierStats(**dict(batch_stats(engine, settings)), analyses=analyses)


def _analysis_stats(served: ServedModel) -> AnalysisStats:
    counted = served.stats.snapshot()
    return AnalysisStats(
        model=served.settings.model,
        revision=served.settings.pinned_revision,
        precision=served.model.precision,
        forward=served.model.forward_name,
        text_preparation=served.model.head.text_preparation,
        labels=list(served.model.labels),
        is_multi_label=served.model.head.is_multi_label,
        texts=counted.texts,
        truncated_texts=counted.truncated_texts,
        forward_passes=counted.forward_passes,
        mean_texts_per_pass=counted.mean_texts_per_pass,
        padding_ratio=counted.padding_ratio,
        cache_hits=counted.cache_hits,
        cache_misses=counted.cache_misses,
        max_batch_tokens=served.budget.cost.max_batch_tokens,
    )
