"""Linear layers on a CPU: oneDNN's kernels, weights in the layout that these want.

On an AMD EPYC with AVX-512 they are more than twice as fast as those that torch takes by itself, MKL's; with AVX2 alone
they are as fast (bench/, "The limit").
"""

from __future__ import annotations

import torch

_ONEDNN = torch.ops.mkldnn
_ONEDNN_INT8 = torch.ops.onednn

_CAPABILITIES = torch.cpu.get_capabilities()
_HIGHEST_BYTE = 255 if _CAPABILITIES.get("avx512_vnni") or _CAPABILITIES.get("avx_vnni") else 127
"""Without VNNI, processors add two products in 16 bits, and 2 x 255 x 127 does not fit: seven bits have to do."""


def can_run(dtype: torch.dtype) -> bool:
    """Whether this machine has oneDNN's kernels for weights of this type."""
    is_bfloat16 = dtype == torch.bfloat16 and bool(_ONEDNN._is_mkldnn_bf16_supported())
    has_onednn = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return has_onednn and (dtype == torch.float32 or is_bfloat16)


class FloatLinear:
    """In the weights' own precision: float32 or bfloat16."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        self._weight = _ONEDNN._reorder_linear_weight(weight)
        self._bias = bias

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = _ONEDNN._linear_pointwise.default(inputs, self._weight, self._bias, "none", [], "")
        return result


class Int8Linear:
    """Weights in int8, scaled per output channel; inputs as bytes, scaled together; sums and outputs in float32."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        self._scales = weight.abs().amax(dim=1) / 127
        self._zero_points = torch.zeros(len(weight), dtype=torch.int64)
        self._weight = _ONEDNN_INT8.qlinear_prepack((weight / self._scales[:, None]).round().to(torch.int8), None)
        self._bias = bias

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = _ONEDNN_INT8.qlinear_pointwise.default(
            *_quantised(inputs), self._weight, self._scales, self._zero_points, self._bias,
            1.0, 0, torch.float32, "none", [], "none",
        )  # fmt: skip
        return result


def _quantised(inputs: torch.Tensor) -> tuple[torch.Tensor, float, int]:
    """Inputs as bytes, their scale and what stands for zero: the range is that of the values, and has zero in it."""
    lowest, highest = map(float, torch.aminmax(inputs))
    lowest, highest = min(lowest, 0.0), max(highest, 0.0)
    scale = max(highest - lowest, 1e-12) / _HIGHEST_BYTE
    zero_point = round(-lowest / scale)
    # The conversion cuts off the fraction; one half more makes it round.
    return torch.add(zero_point + 0.5, inputs, alpha=1 / scale).to(torch.uint8), scale, zero_point
