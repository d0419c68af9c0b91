"""transformers' own forward pass, rows padded to the longest: any model, any device."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from batch_inference.forward.row_layout import RowLayout
from batch_inference.forward.streams import Upload
from batch_inference.token_rows import TokenRows


@dataclass(frozen=True, slots=True)
class PaddedRows:
    """The input of a forward pass, on the device: integer tensors of shape (rows, longest row).

    `token_types` is None for a model that has none.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    token_types: torch.Tensor | None = None

    @property
    def num_rows(self) -> int:
        """How many rows."""
        return len(self.input_ids)


class PaddedForward:
    """transformers' own forward pass: any model, any device."""

    is_padded = True

    def __init__(self, model: Any, upload: Upload, layout: RowLayout) -> None:
        self._model = model
        self._upload = upload
        self._layout = layout
        dtypes = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
        self._has_one_dtype = len(dtypes) == 1

    def prepare(self, rows: TokenRows) -> PaddedRows:
        """Pad rows to the longest, and start copying them to the device."""
        is_token = self._layout.is_token(rows.lengths)
        input_ids = np.full(is_token.shape, self._layout.pad_token_id, np.int64)
        input_ids[is_token] = rows.input_ids
        types = self._layout.token_types(is_token)
        # One copy to the device for all of them.
        parts = [input_ids, is_token.astype(np.int64), *([] if types is None else [types])]
        return PaddedRows(*self._upload(np.stack(parts)).unbind())

    def logits(self, padded: PaddedRows) -> torch.Tensor:
        """One forward pass; shape (rows, labels)."""
        logits: torch.Tensor = self.outputs(padded).logits
        return logits

    def outputs(self, padded: PaddedRows) -> Any:
        """What transformers' model gives for one pass."""
        types = {} if padded.token_types is None else {"token_type_ids": padded.token_types}
        # Around weights of one precision, autocast would only run norms in float32, with a cast before and after each.
        off = torch.autocast(padded.input_ids.device.type, enabled=False) if self._has_one_dtype else nullcontext()
        with off:
            return self._model(input_ids=padded.input_ids, attention_mask=padded.attention_mask, **types)
