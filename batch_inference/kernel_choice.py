"""Which of a GPU's kernels serve, where cards differ in which is faster: both are timed at start-up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import torch

from batch_inference.forward.kernels_cuda import CudaLinear
from batch_inference.forward.streams import Streams
from batch_inference.forward.weights import Affine
from batch_inference.start_notes import StartNotes

NUM_TOKENS: Final = 4096
NUM_CALLS: Final = 20
"""Launched in a row, so that the device's time counts and not the launches'."""
ROUNDS: Final = 3

MIN_GAIN: Final = 1.03
"""What the fused kernel has to bring, for its GELU is the less exact one."""

SecondsOf = Callable[[Callable[[], torch.Tensor]], float]
"""How long a device takes for a call."""


def seconds_on(streams: Streams) -> SecondsOf:
    """Seconds of a call on the device of these streams, by the host's clock."""

    def in_a_row(call: Callable[[], torch.Tensor]) -> torch.Tensor:
        for _ in range(NUM_CALLS):
            outputs = call()
        # Little to read back.
        return outputs[:1, :1]

    def seconds_of(call: Callable[[], torch.Tensor]) -> float:
        started_at = time.perf_counter()
        streams.launch(lambda: in_a_row(call)).wait()
        return (time.perf_counter() - started_at) / NUM_CALLS

    return seconds_of


@torch.inference_mode()
def is_fused_gelu_faster(layer: Affine, seconds_of: SecondsOf, notes: StartNotes) -> bool:
    """Whether GELU should be a part of the product before it, in a layer with these weights; noted with its figures."""
    inputs = torch.randn((NUM_TOKENS, layer.weight.shape[1])).to(layer.weight)
    took_s = {}
    for name, has_fused_gelu in (("fused", True), ("apart", False)):
        linear = CudaLinear(layer, has_fused_gelu)
        # The first round loads kernels.
        rounds = [seconds_of(lambda linear=linear: linear.gelu(inputs)) for _ in range(ROUNDS + 1)]  # type: ignore[misc]
        took_s[name] = min(rounds[1:])
    is_faster = took_s["apart"] >= MIN_GAIN * took_s["fused"]
    notes.choices.append(
        f"GELU {'within the product before it' if is_faster else 'in a kernel of its own'}: a layer of {NUM_TOKENS} "
        f"tokens takes {1e6 * took_s['fused']:.0f} us fused, {1e6 * took_s['apart']:.0f} us apart."
    )
    return is_faster
