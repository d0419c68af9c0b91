"""The engine's head for embeddings: hidden states of a text's tokens in, one vector out. Padding is never counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel

from batch_embedding.recipe import Recipe
from batch_inference.forward.forward import Forward
from batch_inference.forward.kernels import DeviceRows, Kernels
from batch_inference.forward.packed import PackedEncoder
from batch_inference.forward.padded import PaddedForward, PaddedRows
from batch_inference.forward.streams import Upload
from batch_inference.heads import Head


class EmbeddingHead(Head):
    """Pools and normalises as a checkpoint's recipe says."""

    auto_class: Any = AutoModel

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self.max_tokens = recipe.max_tokens

    def prepare_text(self, text: str) -> str:
        return text

    def labels(self, config: Any) -> tuple[str, ...]:
        return ()

    def num_outputs(self, config: Any) -> int:
        return int(config.hidden_size) * len(self._recipe.pooling)

    def can_pack(self, model: Any) -> bool:
        return True

    def packed(self, model: Any, kernels: Kernels) -> Forward:
        return PackedPooler(model, kernels, self._recipe.pooling)

    def padded(self, model: Any, upload: Upload) -> Forward:
        return PaddedPooler(model, upload, self._recipe.pooling)

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
        self._encoder = PackedEncoder(model.base_model, kernels)
        self.prepare = self._encoder.prepare
        self._pooling = pooling

    def logits(self, rows: DeviceRows) -> torch.Tensor:
        """One forward pass; shape (rows, hidden times modes)."""
        if self._pooling == ("cls",):
            return self._encoder.hidden_states(rows, rows.first_tokens).float()
        hidden = self._encoder.hidden_states(rows).float()
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

    def __init__(self, model: Any, upload: Upload, pooling: tuple[str, ...]) -> None:
        super().__init__(model, upload)
        self._pooling = pooling

    def logits(self, padded: PaddedRows) -> torch.Tensor:
        """One forward pass; shape (rows, hidden times modes)."""
        hidden = self._model(input_ids=padded.input_ids, attention_mask=padded.attention_mask).last_hidden_state.float()
        is_real = padded.attention_mask[:, :, None].bool()
        return torch.cat([_pooled(hidden, is_real, mode) for mode in self._pooling], dim=1)


def _pooled(hidden: torch.Tensor, is_real: torch.Tensor, mode: str) -> torch.Tensor:
    if mode == "cls":
        return hidden[:, 0]
    if mode == "max":
        return hidden.masked_fill(~is_real, -torch.inf).amax(dim=1)
    counts = is_real.sum(dim=1)
    return hidden.masked_fill(~is_real, 0).sum(dim=1) / (counts.sqrt() if mode == "mean_sqrt_len" else counts)
