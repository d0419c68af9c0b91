"""Which kernels a GPU gets, by a clock that the test sets: no GPU is here whose kernels could be timed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from batch_inference.forward.streams import CpuStreams
from batch_inference.forward.weights import Affine
from batch_inference.kernel_choice import is_fused_gelu_faster, seconds_on
from batch_inference.start_notes import StartNotes

LAYER = Affine(torch.randn(32, 16), torch.randn(32))


@pytest.mark.parametrize(
    ("fused_s", "apart_s", "is_fused"),
    # An H200 sees no difference, an RTX 5090 296 us against 236.
    [(200e-6, 230e-6, True), (200e-6, 201e-6, False), (296e-6, 236e-6, False)],
)
def test_the_faster_gelu_is_taken_and_noted(fused_s: float, apart_s: float, is_fused: bool) -> None:
    # The first of each loads its kernel.
    clock = iter([9.0, fused_s, 2 * fused_s, 3 * fused_s, 9.0, 3 * apart_s, apart_s, apart_s])

    def seconds_of(call: Callable[[], torch.Tensor]) -> float:
        assert call().shape == (4096, 32)
        return next(clock)

    notes = StartNotes()
    assert is_fused_gelu_faster(LAYER, seconds_of, notes) is is_fused
    assert f"takes {1e6 * fused_s:.0f} us fused, {1e6 * apart_s:.0f} us apart" in notes.choices[0]


def test_a_call_is_timed_by_many_in_a_row() -> None:
    calls = []
    seconds_of = seconds_on(CpuStreams())
    assert seconds_of(lambda: calls.append(1) or torch.zeros(5, 5)) > 0
    assert len(calls) == 20
