"""Requests that nobody would write, against real servers: `FUZZ_REQUESTS` says how many, `FUZZ_SEED` which."""

import os

NUM_REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "500"))
SEED = int(os.environ["FUZZ_SEED"]) if "FUZZ_SEED" in os.environ else None
"""None: the same requests every time."""
