"""Rows per second over the working time of a run, its pauses left out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from batch_client.journal import Checkpoint

_MAX_POINTS = 60
_SHORTEST_S = 0.5
"""A rate over less time than this, such as that of the last checkpoint of a run, is chance."""


@dataclass(frozen=True)
class Throughput:
    """`points` are seconds of work and the rows per second up to there; `total_s` is all the working time."""

    points: Sequence[tuple[float, float]]
    total_s: float
    num_rows: int

    @property
    def mean(self) -> float:
        """Rows per second over all."""
        return self.num_rows / self.total_s if self.total_s else 0.0


def measure_throughput(checkpoints: Sequence[Checkpoint]) -> Throughput:
    """The throughput that the checkpoints show."""
    worked_s, num_rows = 0.0, 0
    progress = [(0.0, 0)]
    for before, after in itertools.pairwise(checkpoints):
        # A clock that was set back shows nothing, and the result is written when all answers are there.
        if after.is_start or after.is_finished or after.time_s <= before.time_s:
            continue
        worked_s += after.time_s - before.time_s
        num_rows += after.num_rows - before.num_rows
        if len(progress) > 1 and worked_s - progress[-1][0] < _SHORTEST_S:
            progress.pop()
        progress.append((worked_s, num_rows))
    stride = max(1, -(-len(progress) // _MAX_POINTS))
    kept = progress[:1] + progress[stride::stride]
    if kept[-1] != progress[-1]:
        kept.append(progress[-1])
    points = [
        (time_s, (rows - rows_before) / (time_s - time_before_s))
        for (time_before_s, rows_before), (time_s, rows) in itertools.pairwise(kept)
    ]
    return Throughput(points, worked_s, num_rows)
