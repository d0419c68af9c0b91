"""Which kernels a GPU gets, by a clock that the test sets: no GPU is here whose kernels could be timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from batch_inference.forward.attention_cuda import attend_row_by_row
from batch_inference.forward.streams import CpuStreams
from batch_inference.forward.weights import Affine
from batch_inference.kernel_choice import attention_by_length, is_fused_gelu_faster, seconds_on
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


def other_attention(queries: torch.Tensor, *further: Any) -> torch.Tensor:
    return attend_row_by_row(queries, *further)


def wrong_attention(queries: torch.Tensor, *further: Any) -> torch.Tensor:
    return attend_row_by_row(queries, *further) + 0.1


def no_attention(*_: Any) -> torch.Tensor:
    raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")


@pytest.mark.parametrize(
    ("other", "us", "chosen_for_long", "noted"),
    [
        (other_attention, (40, 60, 90, 50), "other", ["32 tokens by efficient", "512 tokens by FlashAttention"]),
        (other_attention, (40, 39, 90, 89), "usual", ["32 tokens by efficient", "512 tokens by efficient"]),
        (wrong_attention, (40, 60, 90, 50), "usual", ["32 tokens by efficient", "512 tokens by efficient"]),
        (no_attention, (), "usual", ["does not run here (FlashAttention only supports Ampere"]),
    ],
    ids=["faster for long rows", "hardly faster", "of other values", "not on this card"],
)
def test_long_rows_get_the_attention_that_is_faster_for_them(
    other: Any, us: tuple[int, ...], chosen_for_long: str, noted: list[str]
) -> None:
    called = []

    def named(name: str, attend: Any) -> Any:
        return lambda *arguments: called.append(name) or attend(*arguments)

    clock = iter([1e-6 * each for each in us for _ in range(3)])
    layer = Affine(torch.randn(96, 32, dtype=torch.bfloat16), torch.randn(96, dtype=torch.bfloat16))
    notes = StartNotes()
    attend = attention_by_length(
        layer, 2, lambda call: next(clock), notes, named("usual", attend_row_by_row), named("other", other)
    )
    assert len(notes.choices) == len(noted)
    assert all(part in choice for part, choice in zip(noted, notes.choices, strict=True))
    queries, keys, values = torch.randn(600, 3, 2, 16).unbind(1)
    called.clear()
    for row_starts, longest in (([0, 300, 600], 300), ([0, 128, 256], 128)):
        attend(queries, keys, values, torch.tensor(row_starts, dtype=torch.int32), longest)
    assert called == [chosen_for_long, "usual"]


def test_in_float32_there_is_nothing_to_choose() -> None:
    notes = StartNotes()
    assert attention_by_length(LAYER, 2, lambda call: 1.0, notes, attend_row_by_row, no_attention) is attend_row_by_row
    assert not notes.choices
