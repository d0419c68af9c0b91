"""The start-up check that a model means by its labels what their names say."""

from __future__ import annotations

import logging

from batch_inference.errors import ModelLoadError
from batch_inference.model import EncoderModel
from batch_inference.settings import EncoderSettings

logger = logging.getLogger(__name__)


def check_known_answers(model: EncoderModel, settings: EncoderSettings) -> None:
    """Run the texts whose label nobody doubts, as the model's head names them.

    Raises:
        ModelLoadError: a published model got one wrong, so weights, labels or their order are not what was published.
            Another model's mistakes are logged: it may have other labels, or be a stand-in.
    """
    known = model.head.known_answers
    if not known:
        return
    rows = model.tokenizer.encode(list(known), model.max_tokens).rows
    wrong = []
    for (text, expected), answer in zip(known.items(), model.answers(rows), strict=True):
        label = model.labels[answer.argmax()]
        if label != expected and expected in model.labels:
            wrong.append(f"{text!r} is {expected}, not {label}")
    if not wrong:
        return
    message = f"the model {settings.model!r} fails the self-test: {'; '.join(wrong)}. Check its weights and id2label."
    if settings.is_published_model:
        raise ModelLoadError(message)
    logger.warning(message)
