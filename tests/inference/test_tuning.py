"""Tuning: the pick from measured points, and a real measurement of the bundled model."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from batch_inference.engine import Engine
from batch_inference.errors import DeviceOutOfMemoryError
from batch_inference.token_rows import TokenRows
from batch_inference.tuning import BudgetPoint, measure_budgets, pick_cost


def points(seconds: dict[int, float]) -> list[BudgetPoint]:
    return [BudgetPoint(tokens, pass_s, 1.0) for tokens, pass_s in seconds.items()]


def test_the_smallest_budget_that_is_good_enough_is_picked() -> None:
    # A pass takes as long as 100 tokens however small it is, and a millisecond per token.
    linear = points({tokens: (100 + tokens) / 1000 for tokens in (256, 512, 1024, 2048, 4096, 8192)})
    cost = pick_cost(linear)
    assert cost.max_batch_tokens == 2048
    assert cost.overhead_tokens == 100


def test_no_overhead_is_made_of_noise() -> None:
    assert pick_cost(points({512: 0.4, 1024: 1.0})).overhead_tokens == 0


def test_one_point_is_not_enough() -> None:
    with pytest.raises(ValueError, match="two points"):
        pick_cost(points({512: 0.5}))


def test_a_real_model_is_measured(engine: Engine) -> None:
    measured = measure_budgets(engine.model, [128, 64], repeats=1)
    assert [point.max_batch_tokens for point in measured] == [64, 128]
    assert all(point.texts_per_second > 0 for point in measured)
    # On a CPU it is the memory of this process: more than the weights, which are 25 MB.
    assert 0.025 < measured[0].peak_memory_gib <= measured[1].peak_memory_gib


def test_measuring_stops_where_memory_ends(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    # A GPU's out-of-memory cannot be had here: passes of more than two rows are made to raise it.
    forward = engine.model.answers

    def small_memory(rows: TokenRows) -> NDArray[np.float32]:
        if len(rows) > 2:
            raise DeviceOutOfMemoryError("too large")
        return forward(rows)

    monkeypatch.setattr(engine.model, "answers", small_memory)
    assert [point.max_batch_tokens for point in measure_budgets(engine.model, [32, 64, 128, 256], repeats=1)] == [
        32,
        64,
    ]
