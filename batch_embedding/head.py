"""The engine's head for embeddings: hidden states of a text's tokens in, one vector out. Padding is never counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers.normalizers import Lowercase
from transformers import AutoModel, FeatureExtractionPipeline

from batch_embedding.recipe import Recipe
from batch_inference.forward.forward import Forward
from batch_inference.forward.kernels import DeviceRows, Kernels
from batch_inference.forward.packed import PackedEncoder
from batch_inference.forward.padded import PaddedForward, PaddedRows
from batch_inference.forward.row_layout import RowLayout
from batch_inference.forward.streams import Upload
from batch_inference.heads import Head

_LOWERCASE = Lowercase()
"""As sentence-transformers has it: Python's own knows of a sigma that ends a word."""


class EmbeddingHead(Head):
    """Prepares texts, pools and normalises as a checkpoint's recipe says."""

    auto_class: Any = AutoModel
    unused_weights = ("pooler.",)

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self.max_tokens = recipe.max_tokens

    def prepare_text(self, text: str) -> str:
        prompted = self._recipe.prompt + text
        return _LOWERCASE.normalize_str(prompted) if self._recipe.is_lower_case else prompted

    def own_labels(self, config: Any) -> tuple[str, ...]:
        return ()

    def num_outputs(self, config: Any) -> int:
        return int(config.hidden_size) * len(self._recipe.pooling)

    def can_pack(self, model: Any) -> bool:
        return True

    def packed(self, model: Any, kernels: Kernels) -> Forward:
        return PackedPooler(model, kernels, self._recipe.pooling)

    def padded(self, model: Any, upload: Upload, layout: RowLayout) -> Forward:
        return PaddedPooler(model, upload, layout, self._recipe.pooling)

    def reference(
        self, model: Any, tokenizer: Any, texts: Sequence[str], max_tokens: int
    ) -> NDArray[np.float32] | None:
        hidden_of = FeatureExtractionPipeline(model=model, tokenizer=tokenizer)
        kept = {"truncation": True, "max_length": max_tokens}
        prepared = [self.prepare_text(text) for text in texts]
        hidden = [hidden_of(text, tokenize_kwargs=kept, return_tensors=True)[0].float().cpu() for text in prepared]
        pooled = [
            torch.cat(
                [_pooled(part[None], torch.ones(1, len(part), 1).bool(), mode) for mode in self._recipe.pooling], 1
            )
            for part in hidden
        ]
        return self.answers(torch.cat(pooled).numpy())

    def answers(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self._recipe.is_normalised:
            return outputs
        # The least length is torch's own.
        vectors: NDArray[np.float32] = outputs / np.linalg.norm(outputs, axis=1, keepdims=True).clip(1e-12)
        return vectors


class PackedPooler:
    """The encoder without padding, and pooling on the long row that it gives."""

    is_padded = False

    def __init__(self, model: Any, kernels: Kernels, pooling: tuple[str, ...]) -> None:
        self._is_first_wanted = pooling == ("cls",)
        self._encoder = PackedEncoder(model.base_model, kernels, self._is_first_wanted)
        self.prepare = self._encoder.prepare
        self.pack = self._encoder.pack
        self._pooling = pooling

    def logits(self, rows: DeviceRows) -> torch.Tensor:
        """One forward pass; shape (rows, hidden times modes)."""
        hidden = self._encoder.hidden_states(rows).float()
        if self._is_first_wanted:
            return hidden
        return torch.cat([self._pool(hidden, rows, mode) for mode in self._pooling], dim=1)

    def _pool(self, hidden: torch.Tensor, rows: DeviceRows, mode: str) -> torch.Tensor:
        if mode == "cls":
            return hidden.index_select(0, rows.first_tokens)
        starts = rows.row_starts.long()
        # The last rows are none of the caller's: they fill the pass up.
        pooled = torch.segment_reduce(hidden, "max" if mode == "max" else "mean", offsets=starts, axis=0)
        pooled = pooled[: rows.num_rows]
        return pooled * starts.diff()[: rows.num_rows, None].sqrt() if mode == "mean_sqrt_len" else pooled


class PaddedPooler(PaddedForward):
    """transformers' own encoder, and pooling over the places that are not padding."""

    def __init__(self, model: Any, upload: Upload, layout: RowLayout, pooling: tuple[str, ...]) -> None:
        super().__init__(model, upload, layout)
        self._pooling = pooling

    def logits(self, padded: PaddedRows) -> torch.Tensor:
        """One forward pass; shape (rows, hidden times modes)."""
        hidden = self.outputs(padded).last_hidden_state.float()
        is_real = padded.attention_mask[:, :, None].bool()
        return torch.cat([_pooled(hidden, is_real, mode) for mode in self._pooling], dim=1)


def _pooled(hidden: torch.Tensor, is_real: torch.Tensor, mode: str) -> torch.Tensor:
    if mode == "cls":
        first = is_real[:, :, 0].int().argmax(dim=1)
        return hidden[torch.arange(len(hidden), device=hidden.device), first]
    if mode == "max":
        return hidden.masked_fill(~is_real, -torch.inf).amax(dim=1)
    counts = is_real.sum(dim=1)
    return hidden.masked_fill(~is_real, 0).sum(dim=1) / (counts.sqrt() if mode == "mean_sqrt_len" else counts)
