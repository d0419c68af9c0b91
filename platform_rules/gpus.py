"""The GPUs of chutes.ai and what they cost: the last known list, and how to read the platform's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PRICES_OF = "June 2026"
"""When the price of `pro_6000` was true: the only GPU that ordinary users may deploy on. The names are those that the
platform published in that month; the other prices are the server's `api/gpu.py` in its public states of 2025, where it
has them. They are here to be told apart from a typing error."""

PRICES_URL = "https://api.chutes.ai/pricing"


@dataclass(frozen=True)
class Gpu:
    """Memory in GB, and the last known price in dollars an hour."""

    memory_gb: int
    dollars_per_hour: float | None = None


GPUS = {
    "pro_6000": Gpu(96, 1.80),
    "3090": Gpu(24, 0.3225),
    "4090": Gpu(24, 0.5175),
    "5090": Gpu(32),
    "a10": Gpu(24, 0.5625),
    "a40": Gpu(48, 0.2925),
    "a4000": Gpu(16, 0.24),
    "a4000_ada": Gpu(20),
    "a5000": Gpu(24, 0.27),
    "a6000": Gpu(48, 0.57),
    "a6000_ada": Gpu(48, 0.66),
    "a100": Gpu(80, 1.0125),
    "a100_sxm": Gpu(80, 1.0125),
    "a100_40gb": Gpu(40, 0.9375),
    "a100_40gb_sxm": Gpu(40, 0.9375),
    "b200": Gpu(180),
    "b300": Gpu(270),
    "h20": Gpu(96),
    "h100": Gpu(80, 1.425),
    "h100_nvl": Gpu(96, 1.6),
    "h100_sxm": Gpu(80, 1.83),
    "h200": Gpu(140, 2.7375),
    "h800": Gpu(80),
    "l4": Gpu(24, 0.3225),
    "l40": Gpu(48, 0.6),
    "l40s": Gpu(48, 0.71),
    "mi300x": Gpu(192),
}

LAST_KNOWN_PRICES = {name: gpu.dollars_per_hour for name, gpu in GPUS.items() if gpu.dollars_per_hour is not None}


def published_prices(answer: Any) -> dict[str, float]:
    """Dollars an hour by GPU, from what `PRICES_URL` answers; GPUs that it leaves out keep their last known price.

    Raises:
        ValueError: it is not such an answer.
    """
    try:
        published = {name: float(price["usd"]["hour"]) for name, price in answer["gpu_price_estimates"].items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a list of prices: {error!r}") from error
    return LAST_KNOWN_PRICES | published
