"""Tuning: the pick from measured points, and a real measurement of the bundled model."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from batch_classification.settings import ClassifierSettings
from batch_inference.engine import Engine
from batch_inference.errors import DeviceOutOfMemoryError, ModelLoadError
from batch_inference.pass_cost import pass_cost, warm_up
from batch_inference.planner import PassCost
from batch_inference.settings import load_settings
from batch_inference.token_rows import TokenRows
from batch_inference.tuning import BudgetPoint, measure_budgets, pick_cost
from tests.inference.slow_gpu import SlowGpu


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


def test_one_point_gives_a_fixed_budget() -> None:
    assert pick_cost(points({512: 0.5})) == PassCost(max_batch_tokens=512, overhead_tokens=0)


def test_a_pass_takes_no_longer_than_a_small_request_may_wait() -> None:
    linear = points({tokens: (100 + tokens) / 1000 for tokens in (256, 512, 1024, 2048, 4096)})
    assert pick_cost(linear, max_pass_s=1.0).max_batch_tokens == 512
    # On a slow device, the smallest does.
    assert pick_cost(linear, max_pass_s=0.01).max_batch_tokens == 256


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> SlowGpu:
    gpu = SlowGpu()
    monkeypatch.setattr("batch_inference.tuning.time", gpu)
    return gpu


def test_what_overlaps_in_service_overlaps_in_tuning(gpu: SlowGpu) -> None:
    budgets = [512, 1024, 2048, 4096, 8192, 16384, 32768]
    measured = measure_budgets(gpu, budgets, repeats=1, max_pass_s=0.1)
    # The host's millisecond is hidden behind the GPU's work from 1,000 tokens on.
    assert [point.max_batch_tokens for point in measured] == [512, 1024, 2048, 4096]
    assert pick_cost(measured, 0.9).max_batch_tokens == 1024
    # Of lone passes, one four times as large would not have been good enough.
    lone = BudgetPoint(4096, gpu.HOST_S + 4096 * gpu.TOKEN_S, 1.0)
    assert lone.tokens_per_second < 0.9 * measured[-1].tokens_per_second


def test_a_gpu_s_passes_are_measured_and_told(gpu: SlowGpu) -> None:
    settings = load_settings(ClassifierSettings)
    cost = pass_cost(gpu, settings)
    assert (cost.max_batch_tokens, cost.is_by_arrival, cost.min_second_tokens) == (1024, True, 2000)
    assert gpu.notes.choices[0].startswith("Passes of up to 1024 tokens, by these: 512: ")
    assert pass_cost(gpu, settings.model_copy(update={"max_batch_tokens": 3000})).max_batch_tokens == 3000


def test_a_gpu_with_memory_for_one_budget_gets_that_one(gpu: SlowGpu) -> None:
    gpu.num_tokens_that_fit = 600
    assert pass_cost(gpu, load_settings(ClassifierSettings)).max_batch_tokens == 512


def test_a_gpu_without_memory_for_any_ends_the_start_with_a_sentence(gpu: SlowGpu) -> None:
    gpu.num_tokens_that_fit = 100
    with pytest.raises(ModelLoadError, match=r"no memory left for a pass of 512 tokens.* BATCH_PROCESSOR_GPU_"):
        pass_cost(gpu, load_settings(ClassifierSettings))


def test_a_gpu_is_warmed_up_at_small_sizes(gpu: SlowGpu) -> None:
    warm_up(gpu, PassCost(8192, 0))
    assert gpu.passes == [8, 16, 32, 64, 128, 256, 512, 512]


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
