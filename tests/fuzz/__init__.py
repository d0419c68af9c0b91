"""Requests that nobody would write, against real servers: `FUZZ_REQUESTS` says how many, `FUZZ_SEED` which."""

import os

from hypothesis import HealthCheck, settings

NUM_REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "300"))
SEED = int(os.environ["FUZZ_SEED"]) if "FUZZ_SEED" in os.environ else None
"""None: the same requests every time."""


def fuzzing(num_requests: int) -> settings:
    """How hypothesis makes up so many requests: without a database of its own, and never too slow or too large."""
    return settings(
        max_examples=num_requests,
        deadline=None,
        database=None,
        derandomize=SEED is None,
        suppress_health_check=list(HealthCheck),
    )
