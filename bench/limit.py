"""How fast the model could be at most: its own matrix products, alone, on the same machine in the same run."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from batch_inference.forward.kernels_cpu import FloatLinear
from batch_inference.forward.kernels_int8 import Int8Linear
from batch_inference.forward.weights import Affine

MakeLinear = Callable[[Affine], Callable[[torch.Tensor], torch.Tensor]]

ROWS = (512, 1024, 2048)
"""Tokens in a product. The limit is what the best of them reaches: it must not flatter the engine."""
SECONDS = 5.0
MIN_RUNS = 3


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
        """Floating-point operations that the answers need, for texts of these lengths: two per multiply-accumulate.

        Per token and layer: query, key, value and output (4 h²), the two products of the inner layer (2 h i), and
        scores and weighted values over all tokens of the text (2 L h). The head sees one token of each text, so in the
        last layer the others are but keys and values (2 h²).
        """
        per_token = 4 * self.hidden**2 + 2 * self.hidden * self.inner
        head = self.hidden**2 + self.hidden * self.labels
        macs = 0
        for length in num_tokens:
            macs += (self.layers - 1) * length * (per_token + 2 * length * self.hidden)
            macs += per_token + 2 * (length - 1) * self.hidden**2 + 2 * length * self.hidden + head
        return 2 * macs


@dataclass(frozen=True)
class Limits:
    """Operations per second that the model's matrix products reach, at the best number of rows."""

    torch_linear: float
    """By what `torch.nn.functional.linear` calls: the limit of everybody who leaves it at that."""
    onednn: float
    """By oneDNN's kernels, weights in their own layout: what the engine calls."""
    int8: float
    """By what the engine calls for int8 weights, quantising the inputs included. Not floating point, but as many."""


def matmul_flop_per_s(shape: ModelShape) -> Limits:
    """What the layer's matrix products reach when nothing else runs between them.

    All take turns, so that a machine that is faster at some moments is so for each of them.
    """
    kinds: dict[str, MakeLinear] = {"torch_linear": _torch_linear, "onednn": FloatLinear, "int8": _int8_linear}
    layers = {(kind, rows): _Layer(shape, rows, make) for kind, make in kinds.items() for rows in ROWS}
    until = time.perf_counter() + SECONDS
    for layer in itertools.cycle(layers.values()):
        layer.run()
        if time.perf_counter() > until and all(len(layer.took_s) >= MIN_RUNS for layer in layers.values()):
            break
    return Limits(**{kind: max(layers[kind, rows].flop_per_s() for rows in ROWS) for kind in kinds})


class _Layer:
    """The four square and two inner products of a layer, on inputs of so many rows."""

    def __init__(self, shape: ModelShape, rows: int, make_linear: MakeLinear) -> None:
        hidden, inner = shape.hidden, shape.inner
        self.took_s: list[float] = []
        self._flop = 2 * rows * (4 * hidden**2 + 2 * hidden * inner)
        sizes = [(hidden, hidden)] * 4 + [(hidden, inner), (inner, hidden)]
        self._products = [_product(rows, width, height, make_linear) for width, height in sizes]
        self.run()
        self.took_s.clear()

    @torch.inference_mode()
    def run(self) -> None:
        """Compute all products once."""
        started_at = time.perf_counter()
        for product in self._products:
            product()
        self.took_s.append(time.perf_counter() - started_at)

    def flop_per_s(self) -> float:
        """Operations over the median time of a run."""
        return self._flop / statistics.median(self.took_s)


@torch.inference_mode()
def _product(rows: int, width: int, height: int, make_linear: MakeLinear) -> Callable[[], torch.Tensor]:
    linear, inputs = make_linear(Affine(torch.randn(height, width), torch.randn(height))), torch.randn(rows, width)
    return lambda: linear(inputs)


def _torch_linear(weights: Affine) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda inputs: torch.nn.functional.linear(inputs, weights.weight, weights.bias)


def _int8_linear(weights: Affine) -> Int8Linear:
    return Int8Linear(weights, divisors=torch.ones(weights.weight.shape[1]))
