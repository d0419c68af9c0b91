"""What every way of computing a model's outputs has."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from batch_inference.token_rows import TokenRows


class Forward(Protocol):
    """How a model's logits are computed: `PaddedForward` or, where it can be, `PackedClassifier`."""

    @property
    def is_padded(self) -> bool:
        """Whether a pass computes every row up to the longest one."""
        ...

    def prepare(self, rows: TokenRows) -> Any:
        """Rows of token ids as `logits` takes them; copying to a device may still go on."""
        ...

    def logits(self, prepared: Any) -> torch.Tensor:
        """One forward pass; shape (rows, outputs)."""
        ...
