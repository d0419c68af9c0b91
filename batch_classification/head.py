"""The engine's heads for analyses: classifiers, of tweets with handles and links masked or of any other texts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, Self

from batch_classification.analysis_list import TextPreparation
from batch_classification.masking import mask_handles_and_links
from batch_classification.settings import SENTIMENT
from batch_inference.errors import ModelLoadError
from batch_inference.heads import AS_IT_IS, ClassifierHead

logger = logging.getLogger(__name__)

SENTIMENTS: Final = ("NEGATIVE", "NEUTRAL", "POSITIVE")

TWEETS: Final = "tweets"

CARDIFF: Final = "cardiffnlp"
"""Owner of the hub's models that were trained on masked tweets."""


class AnalysisHead(ClassifierHead):
    """The classifier of an analysis, with the labels of its checkpoint.

    Args:
        name: of the analysis.
        text_preparation: `tweets` masks handles and links, `none` leaves texts as they are, and `auto` asks the
            checkpoint.
    """

    def __init__(self, name: str, text_preparation: TextPreparation = "auto") -> None:
        self.name = name
        self.text_preparation = text_preparation

    def fitted(self, config: Any, source: str) -> Self:
        fitted = super().fitted(config, source)
        if fitted.text_preparation == "auto":
            fitted.text_preparation = trained_on(config, source)
        logger.info("Texts are prepared as %r.", fitted.text_preparation)
        return fitted

    def prepare_text(self, text: str) -> str:
        return mask_handles_and_links(text) if self.text_preparation == TWEETS else text


class SentimentHead(AnalysisHead):
    """The classifier that this service is for."""

    known_answers: Mapping[str, str] = {
        "I love this, it is wonderful!": "POSITIVE",
        "This is terrible, I hate it.": "NEGATIVE",
        "The meeting is on Monday at ten.": "NEUTRAL",
    }

    def __init__(self, text_preparation: TextPreparation = "auto") -> None:
        super().__init__(SENTIMENT, text_preparation)

    def own_labels(self, config: Any) -> tuple[str, ...]:
        labels = super().own_labels(config)
        if not {label.upper() for label in labels} <= set(SENTIMENTS):
            logger.info("The model's labels are %s. Its config.json names them in id2label.", ", ".join(labels))
        return labels


def trained_on(config: Any, source: str) -> str:
    """What the texts that a checkpoint was trained on had been through.

    Its config.json may say it in `text_preparation`, as the bundled model's does. Cardiff's do not: of those, the name
    is known, also as part of a folder's.
    """
    if CARDIFF in source:
        return TWEETS
    declared = getattr(config, "text_preparation", AS_IT_IS)
    if declared not in (TWEETS, AS_IT_IS):
        raise ModelLoadError(
            f"text_preparation in the model's config.json is {declared!r}, but only {TWEETS!r} and {AS_IT_IS!r} are "
            "known. Correct it there."
        )
    return str(declared)
