"""The models of a service: that of sentiment, and those of its further analyses."""

from __future__ import annotations

from collections.abc import Callable

from batch_classification.head import AnalysisHead, SentimentHead
from batch_classification.settings import ClassifierSettings
from batch_inference.engine import Engine


def start_with_analyses(settings: ClassifierSettings, on_device_lost: Callable[[], None] = lambda: None) -> Engine:
    """An engine with the model of every analysis, sentiment first; they are named as callers name them.

    Args:
        settings: which checkpoints, and how they are run.
        on_device_lost: as `Engine.start` has it.

    Raises:
        ModelLoadError: a model cannot be loaded, or fails the self-test; one of a further analysis is named.
    """
    further = [
        (analysis, AnalysisHead(analysis.name, analysis.text_preparation)) for analysis in settings.further_analyses
    ]
    return Engine.start(settings, SentimentHead(settings.text_preparation), on_device_lost, further)
