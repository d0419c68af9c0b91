"""What a server holds: its resident memory, threads and descriptors."""

from __future__ import annotations

import time
from dataclasses import dataclass

import httpx
import psutil


@dataclass(frozen=True)
class Holdings:
    """One look at a process."""

    resident_mib: float
    num_threads: int
    num_descriptors: int

    @classmethod
    def of(cls, pid: int) -> Holdings:
        """Look at a process now."""
        process = psutil.Process(pid)
        return cls(process.memory_info().rss / 2**20, process.num_threads(), process.num_fds())


def settled(pid: int, url: str, timeout_s: float = 30) -> Holdings:
    """Holdings once nothing is in flight and no connection is open any more, or as they are after the time-out."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        stats = httpx.get(f"{url}/batch-stats", timeout=60).json()
        # The one that asks is open itself, for a moment longer.
        open_connections = [each for each in psutil.Process(pid).net_connections("tcp") if each.status == "ESTABLISHED"]
        if stats["requests_in_flight"] == stats["queued_texts"] == 0 and len(open_connections) <= 1:
            break
        time.sleep(0.2)
    return Holdings.of(pid)
