"""What an engine does before it takes texts: its models loaded, tested, measured, and run at their fullest."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from batch_inference.device_report import report_device
from batch_inference.errors import ModelLoadError
from batch_inference.heads import Head
from batch_inference.host_memory import keep_freed_memory
from batch_inference.known_answers import check_known_answers
from batch_inference.loading import load_model
from batch_inference.model import EncoderModel
from batch_inference.pass_cost import pass_cost, warm_up
from batch_inference.planner import PassCost
from batch_inference.settings import EncoderSettings
from batch_inference.shared_tokenizers import share_tokenizers

logger = logging.getLogger(__name__)

Source = tuple[EncoderSettings, Head]
"""A model that is to be loaded: which one and how, and what kind of model it is."""

Loaded = tuple[EncoderSettings, EncoderModel, PassCost]
"""A model that is ready to serve, by which settings it was loaded, and what a pass of it costs."""


def load_all(sources: Sequence[Source]) -> list[Loaded]:
    """Get models ready to serve on one device, so that nothing is loaded, fetched or compiled later.

    Args:
        sources: the models, one or more; errors name those after the first.

    Raises:
        ModelLoadError: a model cannot be loaded, or fails the self-test.
    """
    models: list[EncoderModel] = []
    for settings, head in sources:
        with _naming(head, is_named=bool(models)):
            models.append(load_model(settings, head, models[0].streams if models else None))
    share_tokenizers(models)
    if models[0].device == "cpu":
        # Not before: what loading needs and frees goes back to the system.
        keep_freed_memory()
    loaded: list[Loaded] = []
    for (settings, head), model in zip(sources, models, strict=True):
        with _naming(head, is_named=bool(loaded)):
            check_known_answers(model, settings)
            cost = pass_cost(model, settings)
            warm_up(model, cost)
        model.notes.device = report_device(model)
        logger.info("%s is ready on %s in %s.", settings.model, model.device, model.precision)
        loaded.append((settings, model, cost))
    return loaded


@contextmanager
def _naming(head: Head, *, is_named: bool) -> Iterator[None]:
    try:
        yield
    except ModelLoadError as error:
        if not is_named:
            raise
        raise ModelLoadError(f"Analysis {head.name!r}: {error}") from error
