"""What a forward pass costs on the device at hand, and a first one of full size."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from batch_inference.errors import DeviceOutOfMemoryError, ForwardPassError, ModelLoadError
from batch_inference.model import EncoderModel
from batch_inference.planner import PassCost
from batch_inference.settings import EncoderSettings
from batch_inference.token_rows import TokenRows
from batch_inference.tuning import measure_budgets, pick_cost

PADDED_CPU_COST: Final = PassCost(max_batch_tokens=2048, overhead_tokens=64)
PACKED_CPU_OVERHEAD_TOKENS: Final = 32
PACKED_CPU_ACTIVATION_FLOATS: Final = 3 * 2**20
"""Numbers in the widest activation of a pass: 2,048 tokens of the bundled model, 1,024 of RoBERTa-base. Found with
`make tune` and the bench on two cores; larger passes are no faster, and begin to leave the cache."""

GPU_BUDGETS: Final = [2**power for power in range(9, 18)]
GPU_TUNING_REPEATS: Final = 3
GPU_GOOD_ENOUGH: Final = 0.9
GPU_MAX_PASS_S: Final = 0.01
"""A small request may wait for two passes that are in flight: so long a pass may take, whatever a longer one brings."""

GPU_MIN_SECOND_TOKENS: Final = 2000
"""What a pass beside another has to hold: launching fewer costs the requests' threads more than the GPU gains."""

GPU_WARM_UP_TOKENS: Final = [2**power for power in range(3, 10)]


def pass_cost(model: EncoderModel, settings: EncoderSettings) -> PassCost:
    """What a pass costs on the model's device: on a GPU it is measured, in a few seconds.

    Raises:
        ModelLoadError: the GPU has not the memory for the smallest pass.
    """
    if model.device == "cpu":
        cost = PADDED_CPU_COST if model.is_padded else _packed_cpu_cost(model.inner_size)
    else:
        cost = _measured_gpu_cost(model, settings)
    if settings.max_batch_tokens == "auto":
        return cost
    return replace(cost, max_batch_tokens=settings.max_batch_tokens)


def _measured_gpu_cost(model: EncoderModel, settings: EncoderSettings) -> PassCost:
    points = measure_budgets(model, GPU_BUDGETS, GPU_TUNING_REPEATS, GPU_MAX_PASS_S)
    if not points:
        raise ModelLoadError(
            f"beside the model, {model.device} has no memory left for a pass of {GPU_BUDGETS[0]} tokens. End "
            f"what else uses it, or raise {settings.variable('gpu_memory_fraction')}."
        )
    cost = pick_cost(points, GPU_GOOD_ENOUGH, GPU_MAX_PASS_S)
    measured = ", ".join(
        f"{point.max_batch_tokens}: {1000 * point.pass_s:.2f} ms, {point.tokens_per_second:,.0f} tokens/s"
        for point in points
    )
    model.notes.choices.append(f"Passes of up to {cost.max_batch_tokens} tokens, by these: {measured}.")
    return replace(
        cost,
        is_padded=model.is_padded,
        is_by_arrival=not model.is_padded,
        min_second_tokens=0 if model.max_in_flight == 1 else GPU_MIN_SECOND_TOKENS,
    )


def _packed_cpu_cost(inner_size: int) -> PassCost:
    budget = max(1, PACKED_CPU_ACTIVATION_FLOATS // inner_size)
    return PassCost(budget, PACKED_CPU_OVERHEAD_TOKENS, is_padded=False)


def warm_up(model: EncoderModel, cost: PassCost) -> None:
    """Run texts of full length; on a CPU so many that no later pass needs much more memory.

    On a GPU one will do. More may not fit, if the budget was set by hand: the scheduler copes with that. Before it go
    short ones, for a GPU loads a kernel when it first runs.

    Raises:
        ModelLoadError: the model fails on texts of the length that it was taken to allow.
    """
    num_rows = max(1, cost.max_batch_tokens // model.max_tokens) if model.device == "cpu" else 1
    long_rows = model.tokenizer.encode(["ok " * model.max_tokens] * num_rows, model.max_tokens).rows
    try:
        if model.device != "cpu":
            for num_tokens in GPU_WARM_UP_TOKENS:
                model.answers(TokenRows(long_rows.input_ids[:num_tokens], np.array([num_tokens], np.int32)))
        model.answers(long_rows)
    except DeviceOutOfMemoryError:
        raise
    except ForwardPassError as error:
        raise ModelLoadError(
            f"the model cannot run texts of {model.max_tokens} tokens, which its config.json allows: {error}. Set "
            "max_position_embeddings there to what its weights have, or use another checkpoint."
        ) from error
