"""Reading a checkpoint, from a folder or the hub: one way for every kind of model."""

from __future__ import annotations

import os
import pickle
from typing import Any

import torch
from transformers import AutoTokenizer

from batch_inference.errors import ModelLoadError
from batch_inference.settings import BUNDLED_MODEL, ModelSettings


def load_checkpoint(
    settings: ModelSettings, auto_class: Any, kind: str, device: str, dtype: torch.dtype
) -> tuple[Any, Any]:
    """Load tokenizer and model of `settings`, the weights straight onto the device and in the dtype they run in.

    Args:
        settings: name the checkpoint.
        auto_class: the class of transformers that loads it.
        kind: what the checkpoint has to be, for people.
        device: where the weights go.
        dtype: what they become.

    Returns:
        The tokenizer, and the model in evaluation mode.

    Raises:
        ModelLoadError: the checkpoint is missing or unusable.
    """
    # A checkpoint without safetensors would be sent for conversion, on a thread that outlives the start-up.
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    source, revision = settings.model_source, settings.pinned_revision
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
        model = auto_class.from_pretrained(
            source,
            revision=revision,
            # Left out, transformers asks at the terminal whether to run a checkpoint's code.
            trust_remote_code=False,
            # Left out, transformers takes the dtype the checkpoint was stored in.
            dtype=dtype,
            device_map={"": device},
            attn_implementation="sdpa",
            # Old checkpoints are pickles: tensors are read from them, nothing is run.
            weights_only=True,
        )
    except (OSError, ValueError, ImportError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        bundled = f", or {BUNDLED_MODEL!r}" if settings.bundled_model else ""
        raise ModelLoadError(
            f"{settings.variable('model')}={settings.model!r} cannot be loaded: {reason} "
            f"Use a hub id, a folder with {kind}{bundled}."
        ) from error
    return tokenizer, model.eval()
