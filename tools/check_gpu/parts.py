"""What is measured, in which order, and how long each part may take. No torch: the process that watches needs none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Figures = dict[str, Any]
"""What a part of the run measured; JSON."""


@dataclass(frozen=True)
class Part:
    """A function of this package that takes a `Run` and returns figures.

    Attributes:
        name: the function's.
        module: in which module of this package it is.
        limit_s: it is killed after that.
        needs_s: it is left out if there is less time.
        environment: variables of its process, which is then its own.
    """

    name: str
    module: str
    limit_s: float
    needs_s: float = 5
    environment: Mapping[str, str] = field(default_factory=dict)


PARTS = (
    Part("machine", "passes", 20),
    Part("ceilings", "passes", 40),
    Part("correctness", "passes", 60),
    Part("recall", "service", 60),
    Part("attention", "passes", 30),
    Part("passes", "passes", 120),
    Part("launches", "launches", 60),
    Part("without_cublaslt", "launches", 60, environment={"DISABLE_ADDMM_CUDA_LT": "1"}),
    Part("depth", "passes", 40),
    Part("out_of_memory", "service", 45),
    Part("lost_device", "service", 60),
    Part("start_up", "service", 60),
    Part("engine", "service", 100, 60),
    Part("over_http", "over_http", 60, 40),
    Part("peers", "service", 60, 30),
    Part("compiled", "launches", 90, 40),
    Part("soak", "service", 100, 75),
)
"""The most telling first: what is left when the time is over is left out."""
