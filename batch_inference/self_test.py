"""The start-up check that a model means by its labels what their names say."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from batch_inference.errors import ModelLoadError
from batch_inference.settings import BUNDLED_MODEL, CARDIFF_MODEL, Settings

if TYPE_CHECKING:
    from batch_inference.model import SentimentModel

logger = logging.getLogger(__name__)

KNOWN_TEXTS = {
    "I love this, it is wonderful!": "POSITIVE",
    "This is terrible, I hate it.": "NEGATIVE",
    "The meeting is on Monday at ten.": "NEUTRAL",
}


def self_test(model: SentimentModel, settings: Settings) -> None:
    """Classify texts whose sentiment nobody doubts.

    Raises:
        ModelLoadError: the default or the bundled model got one wrong, so weights, labels or their order are not what
            was published. Another model's mistakes are logged: it may have other labels, or be a stand-in.
    """
    rows = model.tokenizer.encode(list(KNOWN_TEXTS), model.max_tokens).rows
    wrong = []
    for (text, expected), answer in zip(KNOWN_TEXTS.items(), model.probabilities(rows), strict=True):
        label = model.labels[answer.argmax()]
        if label != expected and expected in model.labels:
            wrong.append(f"{text!r} is {expected}, not {label}")
    if not wrong:
        return
    message = f"the model {settings.model!r} fails the self-test: {'; '.join(wrong)}. Check its weights and id2label."
    if settings.model in (CARDIFF_MODEL, BUNDLED_MODEL):
        raise ModelLoadError(message)
    logger.warning(message)
