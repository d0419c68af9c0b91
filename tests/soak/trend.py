"""Whether a series of samples rises: the slope of a line through it, and how sure that is."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

NUM_BLOCKS = 10
STUDENT_T = 2.306
"""Two-sided 95% for 8 degrees of freedom: 10 blocks, 2 parameters."""


@dataclass(frozen=True)
class Slope:
    """A slope per second, and half its 95% interval."""

    per_s: float
    half_width_per_s: float

    @property
    def is_zero(self) -> bool:
        """Whether the interval holds zero, or the line falls."""
        return self.per_s - self.half_width_per_s <= 0


def slope(times_s: list[float], values: list[float]) -> Slope:
    """Of the line through the means of ten blocks: neighbouring samples are alike, and would feign certainty.

    Raises:
        ValueError: there are fewer than two samples a block.
    """
    size = len(values) // NUM_BLOCKS
    if size < 2:
        raise ValueError(f"{len(values)} samples are too few for {NUM_BLOCKS} blocks")
    blocks = [range(start * size, (start + 1) * size) for start in range(NUM_BLOCKS)]
    x = [statistics.fmean(times_s[index] for index in block) for block in blocks]
    y = [statistics.fmean(values[index] for index in block) for block in blocks]
    line = statistics.linear_regression(x, y)
    residuals = [value - line.slope * time - line.intercept for time, value in zip(x, y, strict=True)]
    spread = sum((time - statistics.fmean(x)) ** 2 for time in x)
    error = math.sqrt(sum(residual**2 for residual in residuals) / (NUM_BLOCKS - 2) / spread)
    return Slope(line.slope, STUDENT_T * error)
