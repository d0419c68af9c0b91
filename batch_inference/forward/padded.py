"""transformers' own forward pass, rows padded to the longest: any model, any device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from batch_inference.forward.streams import Upload
from batch_inference.token_rows import TokenRows


@dataclass(frozen=True, slots=True)
class PaddedRows:
    """The input of a forward pass, on the device: two integer tensors of shape (rows, longest row)."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor

    @property
    def num_rows(self) -> int:
        """How many rows."""
        return len(self.input_ids)


class PaddedForward:
    """transformers' own forward pass: any model, any device."""

    is_padded = True

    def __init__(self, model: Any, upload: Upload) -> None:
        self._model = model
        self._upload = upload
        self._pad_token_id = int(model.config.pad_token_id or 0)

    def prepare(self, rows: TokenRows) -> PaddedRows:
        """Pad rows to the longest, and start copying them to the device."""
        is_token = np.arange(rows.lengths.max()) < rows.lengths[:, None]
        input_ids = np.full(is_token.shape, self._pad_token_id, np.int64)
        input_ids[is_token] = rows.input_ids
        return PaddedRows(self._upload(input_ids), self._upload(is_token.astype(np.int64)))

    def logits(self, padded: PaddedRows) -> torch.Tensor:
        """One forward pass; shape (rows, labels)."""
        logits: torch.Tensor = self._model(input_ids=padded.input_ids, attention_mask=padded.attention_mask).logits
        return logits
