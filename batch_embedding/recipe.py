"""How a checkpoint of sentence-transformers makes one vector of a text's tokens: what its `modules.json` says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from batch_embedding.settings import EmbedderSettings
from batch_inference.errors import ModelLoadError, first_line

POOLING_MODES = ("cls", "mean", "max", "mean_sqrt_len")
"""Those that are known here, by sentence-transformers' names; several of them are concatenated in this order."""

UNLIMITED = 2**31

_OLD_NAMES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Configurations of sentence-transformers before version 6 have a switch for each mode."""


@dataclass(frozen=True)
class Recipe:
    """From hidden states to an embedding.

    Attributes:
        pooling: modes of `POOLING_MODES`, in order.
        is_normalised: the vector is brought to length one.
        max_tokens: at which sentence-transformers cuts texts: its own limit, or else the tokenizer's; None if there is
            neither.
        prompt: begins every text.
        is_lower_case: texts and their prompt are in lower case.
    """

    pooling: tuple[str, ...]
    is_normalised: bool
    max_tokens: int | None
    prompt: str = ""
    is_lower_case: bool = False

    @classmethod
    def read(cls, settings: EmbedderSettings) -> Recipe:
        """The recipe of a checkpoint, on this machine or on the hub.

        Raises:
            ModelLoadError: it has none, or has a part that is not known here.
        """
        modules = _read_json(settings, "modules.json")
        if modules is None:
            raise ModelLoadError(
                f"BATCH_EMBEDDER_MODEL={settings.model!r} has no modules.json, so nothing says how its tokens become "
                "one vector; a bare encoder makes poor embeddings. Use a sentence-transformers checkpoint."
            )
        kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
        if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            raise ModelLoadError(
                f"BATCH_EMBEDDER_MODEL={settings.model!r} consists of {', '.join(kinds)}, but only Transformer, "
                "Pooling and, if it likes, Normalize, in this order, are known here. Use another checkpoint."
            )
        if folder := modules[0].get("path"):
            raise ModelLoadError(
                f"BATCH_EMBEDDER_MODEL={settings.model!r} keeps its model in {folder}/, as old versions of "
                "sentence-transformers did. Write it anew: SentenceTransformer(FOLDER).save(NEW_FOLDER)."
            )
        config = _read_json(settings, f"{modules[1]['path']}/config.json") or {}
        pooling = _modes(config)
        if not pooling or not set(pooling) <= set(POOLING_MODES):
            raise ModelLoadError(
                f"BATCH_EMBEDDER_MODEL={settings.model!r} pools by {', '.join(pooling) or 'nothing'}; known here are "
                f"{', '.join(POOLING_MODES)}. Use another checkpoint."
            )
        limits = _read_json(settings, "sentence_bert_config.json") or {}
        prompt = _prompt(_read_json(settings, "config_sentence_transformers.json") or {})
        if prompt and not config.get("include_prompt", True):
            raise ModelLoadError(
                f"BATCH_EMBEDDER_MODEL={settings.model!r} begins texts with {prompt!r} and leaves that out when it "
                "pools, which is not known here. Use another checkpoint."
            )
        max_tokens = limits.get("max_seq_length") or _of_tokenizer(settings)
        return cls(pooling, "Normalize" in kinds, max_tokens, prompt, bool(limits.get("do_lower_case")))


def _prompt(config: dict[str, Any]) -> str:
    """What sentence-transformers puts before a text if nothing else is asked for."""
    return str((config.get("prompts") or {}).get(config.get("default_prompt_name")) or "")


def _of_tokenizer(settings: EmbedderSettings) -> int | None:
    limit = (_read_json(settings, "tokenizer_config.json") or {}).get("model_max_length")
    # Of a tokenizer without a limit it is a number with thirty digits.
    return int(limit) if limit and limit < UNLIMITED else None


def _modes(config: dict[str, Any]) -> tuple[str, ...]:
    named = config.get("pooling_mode")
    if named is not None:
        return (named,) if isinstance(named, str) else tuple(named)
    return tuple(mode for switch, mode in _OLD_NAMES.items() if config.get(switch))


def _read_json(settings: EmbedderSettings, name: str) -> Any:
    """A file of the checkpoint; None if it has none of that name.

    Raises:
        ModelLoadError: the checkpoint cannot be reached.
    """
    try:
        path = cached_file(
            settings.model, name, revision=settings.pinned_revision, _raise_exceptions_for_missing_entries=False
        )
        return json.loads(Path(path).read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError) as error:
        reason = first_line(error)
        raise ModelLoadError(
            f"BATCH_EMBEDDER_MODEL={settings.model!r} cannot be loaded: {reason} "
            "Use a hub id or a folder with a sentence-transformers checkpoint."
        ) from error
