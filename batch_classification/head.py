"""The engine's head for sentiment: a classifier trained on tweets with handles and links masked."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from batch_classification.masking import mask_handles_and_links
from batch_inference.heads import ClassifierHead

logger = logging.getLogger(__name__)

SENTIMENTS: Final = ("NEGATIVE", "NEUTRAL", "POSITIVE")


class SentimentHead(ClassifierHead):
    """The classifier that this service is for."""

    known_answers: Mapping[str, str] = {
        "I love this, it is wonderful!": "POSITIVE",
        "This is terrible, I hate it.": "NEGATIVE",
        "The meeting is on Monday at ten.": "NEUTRAL",
    }

    def prepare_text(self, text: str) -> str:
        return mask_handles_and_links(text)

    def labels(self, config: Any) -> tuple[str, ...]:
        labels = super().labels(config)
        if not set(labels) <= set(SENTIMENTS):
            logger.warning(
                "The model's labels are %s, not %s; callers get them as they are. Its config.json names them in "
                "id2label.",
                labels,
                SENTIMENTS,
            )
        return labels
