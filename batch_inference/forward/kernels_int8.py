"""An encoder on a CPU in int8: oneDNN's products of bytes, and what has to be known of a model's values for them.

Weights are scaled per output, inputs per pass. Both fit 255 steps badly where a few channels are much larger than the
rest, as in every trained encoder: so inputs are divided, channel by channel, by how large they are, and the weights
multiplied (SmoothQuant, Xiao et al., 2022). How large they are is learned at start-up, from a pass over a few texts in
float32. A few tokens are larger than the rest, too: inside of a feed-forward layer, they have a range of their own.

What that brings the bundled model, as the mean change of a probability by int8, 2,000 tweets: 0.0047, all layers in
int8 (0.0082 with seven bits). 0.0082 without dividing, 0.0116 with one range for all tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import gelu, linear

from batch_inference.forward.kernels import FeedForward
from batch_inference.forward.kernels_cpu import CpuKernels, CpuLinear, FloatLinear
from batch_inference.forward.weights import Affine
from batch_inference.token_rows import TokenRows

SMOOTHING = 0.8
"""SmoothQuant's exponent: 0 leaves the weights' channels as they are, 1 makes the inputs' equally large. The bundled
model's mean change of a probability is 0.0058 at 0.4, 0.0053 at 0.5, and the same from 0.6 to 0.8. At 0.8 int8 also
loses the least macro recall, though within chance (0.001 on 10,000 tweets)."""

MANY_TOKENS = 0.9
RANGE_MARGIN = 1.5
"""Between the two layers, bytes have the range of so many of the tokens that calibration saw, and half as much again.
In the bundled model one token in 27, the first, has values four times as large as all others."""

LOWEST_GELU = -0.17
"""GELU's minimum, at -0.75."""

_ONEDNN_INT8 = torch.ops.onednn

_CAPABILITIES = torch.cpu.get_capabilities()
HIGHEST_BYTE = 255 if _CAPABILITIES.get("avx512_vnni") or _CAPABILITIES.get("avx_vnni") else 127
"""Without VNNI, processors add two products in 16 bits, and 2 x 255 x 127 does not fit: seven bits have to do."""

MAX_ERROR = 7.65 / HIGHEST_BYTE
"""How far int8 may move what a layer passes on, residual included, over its length, for half of the tokens; with more,
the layer stays in float32. With 255 steps this is 0.03. Layers of the bundled model and of RoBERTa-base with random
weights reach 0.002 to 0.027; layers whose range is that of a few large tokens, up to 0.08."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Numbers that bytes stand for: `scale` times how far a byte is from `zero_point`."""

    scale: float
    zero_point: int

    @classmethod
    def of(cls, lowest: float, highest: float) -> ByteRange:
        """From `lowest` to `highest`, and zero, which has a byte of its own."""
        lowest, highest = min(lowest, 0.0), max(highest, 0.0)
        # Half a step less than there are, for zero is moved to the next byte: the highest must not wrap around.
        scale = max(highest - lowest, 1e-12) / (HIGHEST_BYTE - 0.5)
        return cls(scale, round(-lowest / scale))

    def bytes_of(self, values: torch.Tensor) -> torch.Tensor:
        """Values within the range, as bytes."""
        # The conversion cuts off the fraction; one half more makes it round. To bytes by way of shorts, for torch has
        # vector instructions for these two steps and not for both at once, which takes twice as long.
        shorts = torch.add(self.zero_point + 0.5, values, alpha=1 / self.scale).to(torch.int16)
        return shorts.to(torch.uint8)


class Int8Linear(CpuLinear):
    """Weights in int8, scaled per output; inputs as bytes, scaled together; sums and outputs in float32.

    Args:
        weights: of the layer, float32.
        divisors: what each input channel is divided by before it becomes a byte; None leaves inputs as they are.
    """

    def __init__(self, weights: Affine, divisors: torch.Tensor | None = None) -> None:
        self._factors = None if divisors is None else 1 / divisors
        weight = weights.weight if divisors is None else weights.weight * divisors
        self._scales = (weight.abs().amax(dim=1) / 127).clamp_min(1e-12)
        self._zero_points = torch.zeros(len(weight), dtype=torch.int64)
        self._weight = _ONEDNN_INT8.qlinear_prepack((weight / self._scales[:, None]).round().to(torch.int8), None)
        self._bias = weights.bias

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.of_bytes(*self._quantised(inputs))

    def of_bytes(self, inputs: torch.Tensor, span: ByteRange) -> torch.Tensor:
        """The layer, of inputs that are bytes of this range already."""
        return self._product(inputs, span, 1.0, 0, torch.float32, "none")

    def gelu_bytes(self, inputs: torch.Tensor, span: ByteRange) -> torch.Tensor:
        """GELU of the layer's outputs as bytes of this range, all in one kernel; what is beyond it is cut off."""
        return self._product(*self._quantised(inputs), span.scale, span.zero_point, torch.uint8, "gelu")

    def _product(
        self, inputs: torch.Tensor, span: ByteRange, scale: float, zero_point: int, dtype: torch.dtype, follows: str
    ) -> torch.Tensor:
        """Of bytes of a range, and what follows it, in a type with a scale and a zero point."""
        result: torch.Tensor = _ONEDNN_INT8.qlinear_pointwise.default(
            inputs, span.scale, span.zero_point, self._weight, self._scales, self._zero_points, self._bias,
            scale, zero_point, dtype, follows, [], "none",
        )  # fmt: skip
        return result

    def _quantised(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ByteRange]:
        scaled = inputs if self._factors is None else inputs * self._factors
        lowest, highest = torch.aminmax(scaled)
        span = ByteRange.of(float(lowest), float(highest))
        return span.bytes_of(scaled), span


class Int8FeedForward(FeedForward):
    """Two layers that hand bytes from one to the other.

    Their range is fixed, for only so can the first layer's kernel write them. Tokens with values beyond it are computed
    again by themselves, in a range of their own.

    Args:
        span: of GELU's values.
    """

    def __init__(self, inner: Int8Linear, outer: Int8Linear, span: ByteRange) -> None:
        super().__init__(inner, outer)
        self._inner_to_bytes = inner.gelu_bytes
        self._outer_of_bytes = outer.of_bytes
        self._span = span

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        values = self._inner_to_bytes(hidden, self._span)
        result = self._outer_of_bytes(values, self._span).add_(hidden)
        highest = values.amax(dim=1)
        if int(highest.amax()) >= HIGHEST_BYTE:
            beyond = (highest >= HIGHEST_BYTE).nonzero()[:, 0]
            result.index_copy_(0, beyond, super().__call__(hidden.index_select(0, beyond)))
        return result


class CalibratedLinear(CpuLinear):
    """A layer in float32 until it has seen inputs; from then on in int8, unless that is too far off."""

    def __init__(self, weights: Affine) -> None:
        self._weights: Affine | None = weights
        self._inputs = torch.empty(0)
        self._residual: torch.Tensor | float = 0.0
        self._layer: CpuLinear | None = None

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        if self._layer is not None:
            return self._layer(inputs)
        assert self._weights is not None
        self._inputs = inputs
        return linear(inputs, self._weights.weight, self._weights.bias)

    @property
    def is_int8(self) -> bool:
        """Whether it has settled, and on int8."""
        return isinstance(self._layer, Int8Linear)

    def plus(self, inputs: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        if self._layer is None:
            self._residual = residual
        return super().plus(inputs, residual)

    def settle(self) -> None:
        """Decide by the inputs of the last pass."""
        weights, inputs, residual = self._weights, self._inputs, self._residual
        assert weights is not None
        layer = Int8Linear(weights, _divisors(inputs, weights.weight))
        expected = linear(inputs, weights.weight, weights.bias) + residual
        self._layer = layer if _error(layer(inputs) + residual, expected) <= MAX_ERROR else FloatLinear(weights)
        self._weights, self._inputs, self._residual = None, torch.empty(0), 0.0


class CalibratedFeedForward:
    """The same for a block's second half: both layers are in int8, or neither is."""

    def __init__(self, inner: Affine, outer: Affine) -> None:
        self._weights: tuple[Affine, Affine] | None = inner, outer
        self._hidden = torch.empty(0)
        self._settled: FeedForward | None = None

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """As `FeedForward`."""
        if self._settled is not None:
            return self._settled(hidden)
        self._hidden = hidden
        return self._by_torch(hidden)[1]

    @property
    def is_int8(self) -> bool:
        """Whether it has settled, and on int8."""
        return isinstance(self._settled, Int8FeedForward)

    def _by_torch(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """GELU's values and the results, in float32."""
        assert self._weights is not None
        inner, outer = self._weights
        values = gelu(linear(hidden, inner.weight, inner.bias))
        return values, linear(values, outer.weight, outer.bias) + hidden

    def settle(self) -> None:
        """Decide by the inputs of the last pass."""
        assert self._weights is not None
        inner, outer = self._weights
        values, expected = self._by_torch(self._hidden)
        highest = float(values.amax(dim=1).quantile(MANY_TOKENS))
        feed_forward = Int8FeedForward(
            Int8Linear(inner, _divisors(self._hidden, inner.weight)),
            Int8Linear(outer),
            ByteRange.of(LOWEST_GELU, RANGE_MARGIN * highest),
        )
        is_close = _error(feed_forward(self._hidden), expected) <= MAX_ERROR
        self._settled = feed_forward if is_close else FeedForward(FloatLinear(inner), FloatLinear(outer))
        self._weights, self._hidden = None, torch.empty(0)


class Int8Kernels(CpuKernels):
    """How a CPU computes an encoder in int8.

    Args:
        calibration: rows whose pass shows how large the model's values are, such as those of `SAMPLE_TEXTS`.

    Attributes:
        parts: all that was asked for; after `calibrate` each says whether it is in int8.
    """

    def __init__(self, calibration: TokenRows) -> None:
        self._calibration = calibration
        self.parts: list[CalibratedLinear | CalibratedFeedForward] = []

    def linear(self, weights: Affine) -> CalibratedLinear:
        """In float32 until `calibrate`."""
        layer = CalibratedLinear(weights)
        self.parts.append(layer)
        return layer

    def feed_forward(self, inner: Affine, outer: Affine) -> CalibratedFeedForward:
        """In float32 until `calibrate`."""
        feed_forward = CalibratedFeedForward(inner, outer)
        self.parts.append(feed_forward)
        return feed_forward

    def calibrate(self, run: Callable[[TokenRows], object]) -> None:
        """Run the calibration's rows, then quantise what they went through."""
        run(self._calibration)
        for part in self.parts:
            part.settle()


def _divisors(inputs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """SmoothQuant's, one for each input channel, on average one."""
    largest_input = inputs.abs().amax(dim=0).clamp_min(1e-5)
    largest_weight = weight.abs().amax(dim=0).clamp_min(1e-5)
    divisors = largest_input**SMOOTHING / largest_weight ** (1 - SMOOTHING)
    return divisors / divisors.mean()


def _error(outputs: torch.Tensor, expected: torch.Tensor) -> float:
    """How far half of the tokens are from where they should be, over the length of what they should be."""
    return float(((outputs - expected).norm(dim=1) / expected.norm(dim=1)).median())
