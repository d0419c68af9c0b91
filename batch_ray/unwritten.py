"""Bounds the blocks that are scored and not yet written: a crash loses them, for Ray remembers what is written."""

from __future__ import annotations

from ray.data import DataContext
from ray.data._internal.execution.backpressure_policy import (
    ENABLED_BACKPRESSURE_POLICIES,
    ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY,
    BackpressurePolicy,
)
from ray.data._internal.execution.interfaces.physical_operator import PhysicalOperator

BLOCKS_PER_ACTOR = 3
"""One that it scores, one that is there when it has done so, and one that is written meanwhile."""

_MAX_BLOCKS = "batch_ray.max_unwritten_blocks"


class FewUnwritten(BackpressurePolicy):  # type: ignore[misc]
    """Gives the scoring actors no more blocks while as many as allowed are with them or wait to be written.

    Ray's own policies count the bytes of its object store, which is large: on a machine whose disk is slower than its
    engines, thousands of scored rows would wait there.
    """

    def can_add_input(self, op: PhysicalOperator) -> bool:
        """Whether another block may be scored; all other operators may go on."""
        writing = next((after for after in op.output_dependencies if after.name == "Write"), None)
        if writing is None:
            return True
        # What is there now, and no difference of two totals: blocks that Ray merges, splits or drops on the way would
        # hold their slots until the end.
        num_unwritten = (
            op.metrics.num_tasks_running
            + self._topology[op].total_enqueued_output_blocks()
            + writing.internal_input_queue_num_blocks()
            + writing.metrics.num_tasks_running
        )
        return bool(num_unwritten < self._data_context.get_config(_MAX_BLOCKS))


def bound_unwritten(context: DataContext, num_actors: int) -> None:
    """Have Ray bound what so many actors score ahead of the writing, in data sets that are made from now on."""
    context.set_config(_MAX_BLOCKS, BLOCKS_PER_ACTOR * num_actors)
    context.set_config(ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, [*ENABLED_BACKPRESSURE_POLICIES, FewUnwritten])
