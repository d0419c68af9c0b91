"""Finds the batch size at which transformers' pipeline is fastest."""

from __future__ import annotations

from bench.arms import InProcessArm

BATCH_SIZES = (1, 4, 8, 16, 32, 64)


def sweep_pipeline(pipeline: InProcessArm, texts: list[str]) -> dict[int, float]:
    """Texts per second by batch size, all texts in one call."""
    curve = {}
    for size in BATCH_SIZES:
        pipeline.batch_size = size
        curve[size] = len(texts) / pipeline.measure([texts], 1).elapsed_s
    return curve
