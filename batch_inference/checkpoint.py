"""Reading a checkpoint, from a folder or the hub: one way for every kind of model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from transformers import AutoTokenizer

from batch_inference.checkpoint_files import why_unusable
from batch_inference.errors import ModelLoadError, first_line
from batch_inference.sample_texts import SAMPLE_TEXTS
from batch_inference.settings import BUNDLED_MODEL, ModelSettings

MAX_NAMED_WEIGHTS = 4


def load_checkpoint(
    settings: ModelSettings,
    auto_class: Any,
    kind: str,
    device: str,
    dtype: torch.dtype,
    unused_weights: Sequence[str] = (),
) -> tuple[Any, Any]:
    """Load tokenizer and model of `settings`, the weights straight onto the device and in the dtype they run in.

    Args:
        settings: name the checkpoint.
        auto_class: the class of transformers that loads it.
        kind: what the checkpoint has to be, for people.
        device: where the weights go.
        dtype: what they become.
        unused_weights: how the names of weights begin that nobody will use, so that they may be missing.

    Returns:
        The tokenizer, and the model in evaluation mode.

    Raises:
        ModelLoadError: the checkpoint is missing, incomplete or unusable.
    """
    # A checkpoint without safetensors would be sent for conversion, on a thread that outlives the start-up.
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    source, revision = settings.model_source, settings.pinned_revision
    named = settings.named_model
    if reason := why_unusable(source, revision, is_loaded=True):
        raise ModelLoadError(f"{named} {reason}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
        model, loaded = auto_class.from_pretrained(
            source,
            revision=revision,
            # Left out, transformers asks at the terminal whether to run a checkpoint's code.
            trust_remote_code=False,
            # Left out, transformers takes the dtype the checkpoint was stored in.
            dtype=dtype,
            device_map={"": device},
            # Old checkpoints are pickles: tensors are read from them, nothing is run.
            weights_only=True,
            output_loading_info=True,
        )
    # A damaged checkpoint makes transformers raise whatever its code runs into.
    except Exception as error:
        if reason := why_unusable(source, revision, is_loaded=False):
            raise ModelLoadError(f"{named} {reason}") from error
        reason = first_line(error)
        bundled = f", or {BUNDLED_MODEL!r}" if settings.bundled_model else ""
        raise ModelLoadError(
            f"{named} cannot be loaded: {reason} Use a hub id, a folder with {kind}{bundled}."
        ) from error
    _refuse_missing_weights(named, loaded["missing_keys"], tuple(unused_weights), type(model).__name__)
    _refuse_empty_tokenizer(named, tokenizer)
    _refuse_tokens_without_embedding(named, tokenizer, model)
    return tokenizer, model.eval()


def _refuse_missing_weights(named: str, names: Sequence[str], unused: tuple[str, ...], kind: str) -> None:
    """transformers makes up what a checkpoint lacks, by chance, anew at each start."""
    missing = sorted(name for name in names if not name.startswith(unused))
    if not missing:
        return
    shown = ", ".join(missing[:MAX_NAMED_WEIGHTS])
    others = f" and {len(missing) - MAX_NAMED_WEIGHTS} more" if len(missing) > MAX_NAMED_WEIGHTS else ""
    raise ModelLoadError(
        f"{named} lacks weights of a {kind}: {shown}{others}. Its answers would be random. Use a checkpoint that was "
        "fine-tuned for this, or fine-tune this one first."
    )


def _refuse_empty_tokenizer(named: str, tokenizer: Any) -> None:
    """Without its files, transformers makes a tokenizer that knows special tokens only."""
    ids = tokenizer(list(SAMPLE_TEXTS), add_special_tokens=False)["input_ids"]
    if {token_id for row in ids for token_id in row} <= {tokenizer.unk_token_id}:
        files = sorted({"tokenizer.json", *tokenizer.vocab_files_names.values()})
        raise ModelLoadError(
            f"{named} has no vocabulary: its tokenizer knows no word of any text. Put the tokenizer's files "
            f"({', '.join(files)}) beside the weights: tokenizer.save_pretrained writes them."
        )


def _refuse_tokens_without_embedding(named: str, tokenizer: Any, model: Any) -> None:
    """A text that holds such a token would fail its whole pass, and take a GPU with it."""
    weight = None
    # Some read bytes, and look none up.
    with suppress(NotImplementedError):
        weight = getattr(model.get_input_embeddings(), "weight", None)
    if weight is None or len(tokenizer) <= len(weight):
        return
    # No text can spell those that begin or end a row.
    control_words = set(tokenizer.special_tokens_map.values())
    tokens = [token for token, token_id in tokenizer.get_vocab().items() if token_id >= len(weight)]
    if unknown := sorted(set(tokens) - control_words):
        raise ModelLoadError(
            f"{named} has embeddings for {len(weight)} tokens, and its tokenizer has more: {unknown[0]!r} is one. "
            "Use the tokenizer that the model was trained with; resize_token_embeddings belongs before the training."
        )
