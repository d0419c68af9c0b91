"""CTranslate2: its encoder, with the classifier's head on first tokens in numpy; in int8 by its own conversion."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from ctranslate2.converters import TransformersConverter
from runtime_worker import Forward, serve
from safetensors.numpy import load_file


class IdsConverter(TransformersConverter):
    """For models that have embeddings for more ids than their tokenizer has tokens, as the bench's RoBERTa-base."""

    def _load(self) -> Any:
        spec = super()._load()
        tokens, size = spec._vocabulary, spec.get_vocabulary_size()
        spec.register_vocabulary([*tokens, *(f"<unused {number}>" for number in range(len(tokens), size))])
        return spec


def load(checkpoint: Path, is_int8: bool, threads: int) -> Forward:
    """Convert, quantising if asked to."""
    with tempfile.TemporaryDirectory() as folder:
        converted = IdsConverter(str(checkpoint)).convert(f"{folder}/model")
        encoder = ctranslate2.Encoder(
            converted, compute_type="int8" if is_int8 else "float32", inter_threads=1, intra_threads=threads
        )
    weights = {
        name: load_file(checkpoint / "model.safetensors")[f"classifier.{name}"]
        for name in ("dense.weight", "dense.bias", "out_proj.weight", "out_proj.bias")
    }

    def forward(ids: Any, mask: Any) -> Any:
        rows = ctranslate2.StorageView.from_array(ids.astype(np.int32))
        lengths = ctranslate2.StorageView.from_array(mask.sum(axis=1).astype(np.int32))
        hidden = np.asarray(encoder.forward_batch(rows, lengths).last_hidden_state)
        dense = np.tanh(hidden[:, 0] @ weights["dense.weight"].T + weights["dense.bias"])
        return dense @ weights["out_proj.weight"].T + weights["out_proj.bias"]

    return forward


serve(load)
