"""What several tests ask of a running service."""

from __future__ import annotations

import time
from typing import Any

import httpx


def wait_until_idle(client: httpx.Client) -> dict[str, Any]:
    """Wait until the service works on nothing; its statistics then."""
    for _ in range(600):
        stats = client.get("/batch-stats").json()
        if stats["requests_in_flight"] == stats["queued_texts"] == 0:
            return dict(stats)
        time.sleep(0.1)
    raise AssertionError("the service is still busy")
