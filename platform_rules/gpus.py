"""The GPUs of chutes.ai and what they cost: the last known list, and the platform's public one where it can be had."""

from __future__ import annotations

from dataclasses import dataclass

PRICES_OF = "June 2026"
"""When `GPUS` was true. The only GPU that ordinary users may deploy on is the RTX PRO 6000; the others are here to be
told apart from a typing error."""

FEE_HOURS = 3
"""The fee of a chute's first deployment, in hours of the cheapest GPU that its selector allows."""


@dataclass(frozen=True)
class Gpu:
    """Memory in GB, price in dollars an hour."""

    memory_gb: int
    dollars_per_hour: float


# Prices but the first: the server's `api/gpu.py` in its public states, of 2025.
GPUS = {
    "pro_6000": Gpu(96, 1.80),
    "3090": Gpu(24, 0.3225),
    "4090": Gpu(24, 0.5175),
    "a6000": Gpu(48, 0.57),
    "l40s": Gpu(48, 0.71),
    "a100": Gpu(80, 1.0125),
    "h100": Gpu(80, 1.425),
    "h100_sxm": Gpu(80, 1.83),
    "h200": Gpu(140, 2.7375),
}
