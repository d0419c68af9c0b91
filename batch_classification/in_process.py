"""The classifier without a server: for offline jobs, tools, benchmarks and tests."""

from __future__ import annotations

from typing import Any

from batch_classification.head import SentimentHead
from batch_classification.models import start_with_analyses
from batch_classification.settings import ClassifierSettings
from batch_inference.engine import Engine
from batch_inference.loading import load_model
from batch_inference.model import EncoderModel
from batch_inference.settings import load_settings


def start_engine(**overrides: Any) -> Engine:
    """An engine as the environment has it; `overrides` are fields of `ClassifierSettings` that win over it.

    Raises:
        SettingsError: a setting is not valid.
        ModelLoadError: the model cannot be loaded, or fails the self-test.
    """
    settings = load_settings(ClassifierSettings, **overrides)
    return start_with_analyses(settings)


def load_classifier(**overrides: Any) -> EncoderModel:
    """The model alone, without queue and worker.

    Raises:
        as `start_engine`, the self-test apart.
    """
    settings = load_settings(ClassifierSettings, **overrides)
    return load_model(settings, SentimentHead(settings.text_preparation))
