"""Which of a GPU's kernels serve, where cards differ in which is faster: both are timed at start-up."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import torch

from batch_inference.forward.attention_cuda import attend_efficient, attend_flash
from batch_inference.forward.buckets import LONGEST_TOKENS
from batch_inference.forward.kernels_cuda import Attend, CudaLinear
from batch_inference.forward.streams import Streams
from batch_inference.forward.weights import Affine
from batch_inference.start_notes import StartNotes

NUM_TOKENS: Final = 4096
NUM_CALLS: Final = 20
"""Launched in a row, so that the device's time counts and not the launches'."""
ROUNDS: Final = 3

MIN_GAIN: Final = 1.03
"""What the fused kernel has to bring, for its GELU is the less exact one; FlashAttention too, beyond mere noise."""

LONG: Final = LONGEST_TOKENS[-1]
"""Passes with a longer row may have another attention. This is a limit of captured passes, so that a pass has the same
attention whether it is replayed or not."""

PROBED_LENGTHS: Final = {"short": 32, "long": 512}

MAX_DIFFERENCE: Final = 5e-3
"""Of an attended value in half precision, for values of size 1: `tools.check_gpu` allows as much."""

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


@torch.inference_mode()
def attention_by_length(
    layer: Affine,
    num_heads: int,
    seconds_of: SecondsOf,
    notes: StartNotes,
    usual: Attend = attend_efficient,
    other: Attend = attend_flash,
) -> Attend:
    """The faster attention of short rows and that of long ones, as one function; noted with its figures.

    Args:
        layer: makes queries, keys and values; says their device and precision.
        num_heads: of attention.
        seconds_of: measures a call.
        notes: get the choice.
        usual: runs on any GPU, in any precision.
        other: serves where it runs, gives the same values, and is faster. It is not tried in float32.
    """
    if layer.weight.dtype == torch.float32:
        return usual
    projected = torch.randn((NUM_TOKENS, 3, num_heads, layer.weight.shape[1] // num_heads)).to(layer.weight)
    queries, keys, values = projected.unbind(1)
    chosen = {}
    for kind, length in PROBED_LENGTHS.items():
        starts = torch.arange(0, NUM_TOKENS + 1, length, dtype=torch.int32, device=projected.device)
        calls = {attend: partial(attend, queries, keys, values, starts, length) for attend in (usual, other)}
        what = f"Attention of rows of {length} tokens"
        try:
            difference = (calls[usual]() - calls[other]()).abs().max().item()
            took_s = {attend: min(seconds_of(call) for _ in range(ROUNDS)) for attend, call in calls.items()}
        except RuntimeError as error:
            notes.choices.append(f"{what} by efficient kernels: FlashAttention does not run here ({error}).")
            return usual
        is_other = difference <= MAX_DIFFERENCE and took_s[usual] >= MIN_GAIN * took_s[other]
        chosen[kind] = other if is_other else usual
        notes.choices.append(
            f"{what} by {'FlashAttention' if is_other else 'efficient kernels'}: {NUM_TOKENS} tokens take "
            f"{1e6 * took_s[usual]:.0f} us by efficient kernels, {1e6 * took_s[other]:.0f} us by FlashAttention, and "
            f"values differ by at most {difference:.1g}."
        )
    return _by_length(**chosen)


def _by_length(short: Attend, long: Attend) -> Attend:
    if short is long:
        return short

    def attend(
        queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, row_starts: torch.Tensor, longest: int
    ) -> torch.Tensor:
        return (long if longest > LONG else short)(queries, keys, values, row_starts, longest)

    return attend
