"""A model on a GPU whose passes are replayed, if that device can capture them and a replay gives the same."""

from __future__ import annotations

import logging
import time
from typing import Any

from batch_inference.forward.buckets import LARGEST_TOKENS, Buckets
from batch_inference.forward.replay import ReplayedForward
from batch_inference.forward.streams import CudaStreams
from batch_inference.model import EncoderModel
from batch_inference.settings import EncoderSettings

logger = logging.getLogger(__name__)


def with_replay(model: EncoderModel, streams: CudaStreams, settings: EncoderSettings) -> EncoderModel:
    """The same model, its passes replayed; as it is, with a warning, where they cannot be.

    Args:
        model: on a pass without padding.
        streams: of the model.
        settings: of the model.
    """
    budget = settings.max_batch_tokens
    buckets = Buckets(model.max_tokens, LARGEST_TOKENS if budget == "auto" else budget)
    packed: Any = model.forward
    replayed = ReplayedForward(packed, streams, buckets, model.device)
    started_at = time.monotonic()
    reason = replayed.capture()
    if reason is not None:
        logger.warning("Passes are launched call by call: %s.", reason)
        model.notes.choices.append(f"Launches call by call: {reason}.")
        return model
    model.notes.choices.append(
        f"Launches by CUDA graphs up to {buckets.all()[0].num_tokens} tokens: {len(buckets.all())} were captured in "
        f"{time.monotonic() - started_at:.1f} s, and each equals what it was captured from."
    )
    return model.on(replayed, model.precision)
