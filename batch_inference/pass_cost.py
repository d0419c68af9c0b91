"""What a forward pass costs on the device at hand, and a first one of full size."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from batch_inference.errors import DeviceOutOfMemoryError, ForwardPassError, ModelLoadError
from batch_inference.model import EncoderModel
from batch_inference.planner import PassCost
from batch_inference.settings import EncoderSettings
from batch_inference.tuning import measure_budgets, pick_cost

PADDED_CPU_COST: Final = PassCost(max_batch_tokens=2048, overhead_tokens=64)
PACKED_CPU_OVERHEAD_TOKENS: Final = 32
PACKED_CPU_ACTIVATION_FLOATS: Final = 3 * 2**20
"""Numbers in the widest activation of a pass: 2,048 tokens of the bundled model, 1,024 of RoBERTa-base. Found with
`make tune` and the bench on two cores; larger passes are no faster, and begin to leave the cache."""

GPU_BUDGETS: Final = [2**power for power in range(9, 18)]
GPU_TUNING_REPEATS: Final = 5


def pass_cost(model: EncoderModel, settings: EncoderSettings) -> PassCost:
    """What a pass costs on the model's device: on a GPU it is measured, in a few seconds."""
    if model.device == "cpu":
        cost = PADDED_CPU_COST if model.is_padded else _packed_cpu_cost(model.inner_size)
    else:
        measured = pick_cost(measure_budgets(model, GPU_BUDGETS, GPU_TUNING_REPEATS))
        cost = replace(measured, is_padded=model.is_padded, is_by_arrival=not model.is_padded)
    if settings.max_batch_tokens == "auto":
        return cost
    return replace(cost, max_batch_tokens=settings.max_batch_tokens)


def _packed_cpu_cost(inner_size: int) -> PassCost:
    budget = max(1, PACKED_CPU_ACTIVATION_FLOATS // inner_size)
    return PassCost(budget, PACKED_CPU_OVERHEAD_TOKENS, is_padded=False)


def warm_up(model: EncoderModel, cost: PassCost) -> None:
    """Run texts of full length; on a CPU so many that no later pass needs much more memory.

    On a GPU one will do. More may not fit, if the budget was set by hand: the scheduler copes with that.

    Raises:
        ModelLoadError: the model fails on texts of the length that it was taken to allow.
    """
    num_rows = max(1, cost.max_batch_tokens // model.max_tokens) if model.device == "cpu" else 1
    try:
        model.answers(model.tokenizer.encode(["ok " * model.max_tokens] * num_rows, model.max_tokens).rows)
    except DeviceOutOfMemoryError:
        raise
    except ForwardPassError as error:
        raise ModelLoadError(
            f"the model cannot run texts of {model.max_tokens} tokens, which its config.json allows: {error}. Set "
            "max_position_embeddings there to what its weights have, or use another checkpoint."
        ) from error
