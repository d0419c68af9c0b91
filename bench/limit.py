"""How fast the model could be at most: its own matrix products, alone, on the same machine in the same run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from batch_inference.packed_encoder import FloatLinear

MakeLinear = Callable[[torch.Tensor, torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]

ROWS = (512, 1024, 2048, 4096)
"""Tokens in a product. The limit is what the best of them reaches: it must not flatter the engine."""
SECONDS_PER_SHAPE = 0.25


@dataclass(frozen=True)
class ModelShape:
    """The sizes of an encoder that decide how much arithmetic a text takes."""

    hidden: int
    inner: int
    layers: int
    labels: int

    @classmethod
    def of(cls, checkpoint: Path) -> ModelShape:
        """Read the sizes from a checkpoint's configuration."""
        config = json.loads((checkpoint / "config.json").read_text())
        return cls(
            config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"], len(config["id2label"])
        )

    def useful_flop(self, num_tokens: Iterable[int]) -> int:
        """Floating-point operations for texts of these lengths without padding: two per multiply-accumulate.

        Per token and layer: query, key, value and output (4 h²), the two products of the inner layer (2 h i), and
        scores and weighted values over all tokens of the text (2 L h). The head sees one token of each text.
        """
        per_token = 4 * self.hidden**2 + 2 * self.hidden * self.inner
        head = self.hidden**2 + self.hidden * self.labels
        macs = (self.layers * (length * per_token + 2 * length**2 * self.hidden) + head for length in num_tokens)
        return 2 * sum(macs)


@dataclass(frozen=True)
class Limits:
    """FLOP/s that the model's matrix products reach, at the best number of rows."""

    torch_linear: float
    """By what `torch.nn.functional.linear` calls: the limit of everybody who leaves it at that."""
    onednn: float
    """By oneDNN's kernels, weights in their own layout: what the engine calls."""


def matmul_flop_per_s(shape: ModelShape) -> Limits:
    """What the layer's matrix products reach when nothing else runs between them."""
    return Limits(
        torch_linear=max(_layer_flop_per_s(shape, rows, _torch_linear) for rows in ROWS),
        onednn=max(_layer_flop_per_s(shape, rows, FloatLinear) for rows in ROWS),
    )


def _layer_flop_per_s(shape: ModelShape, rows: int, make_linear: MakeLinear) -> float:
    """One layer's four square and two inner products: their operations over the sum of their median times."""
    hidden, inner = shape.hidden, shape.inner
    seconds = sum(
        count * _median_s(_product(rows, width, height, make_linear))
        for count, width, height in ((4, hidden, hidden), (1, hidden, inner), (1, inner, hidden))
    )
    return 2 * rows * (4 * hidden**2 + 2 * hidden * inner) / seconds


@torch.inference_mode()
def _product(rows: int, width: int, height: int, make_linear: MakeLinear) -> Callable[[], torch.Tensor]:
    linear, inputs = make_linear(torch.randn(height, width), torch.randn(height)), torch.randn(rows, width)
    return lambda: linear(inputs)


def _torch_linear(weight: torch.Tensor, bias: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda inputs: torch.nn.functional.linear(inputs, weight, bias)


@torch.inference_mode()
def _median_s(run: Callable[[], torch.Tensor]) -> float:
    run()
    durations: list[float] = []
    until = time.perf_counter() + SECONDS_PER_SHAPE
    while not durations or time.perf_counter() < until:
        started_at = time.perf_counter()
        run()
        durations.append(time.perf_counter() - started_at)
    return sorted(durations)[len(durations) // 2]
