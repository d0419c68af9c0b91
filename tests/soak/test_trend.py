"""The judgement of a soak: noise around a level is no slope, and a leak is one."""

from __future__ import annotations

import random

import pytest

from tests.soak.trend import slope

TIMES = [2.0 * number for number in range(300)]


def test_noise_is_no_slope() -> None:
    rng = random.Random(1)
    assert slope(TIMES, [700 + rng.gauss(0, 3) for _ in TIMES]).is_zero


def test_a_leak_is_a_slope() -> None:
    rng = random.Random(1)
    found = slope(TIMES, [700 + 0.05 * time + rng.gauss(0, 3) for time in TIMES])
    assert not found.is_zero
    assert found.per_s == pytest.approx(0.05, rel=0.1)


def test_memory_that_falls_is_no_leak() -> None:
    assert slope(TIMES, [700 - 0.05 * time for time in TIMES]).is_zero


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        slope(TIMES[:19], TIMES[:19])
