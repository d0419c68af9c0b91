"""Whether anything but the bench runs: waits for quiet, and measures how much else ran during a measurement."""

from __future__ import annotations

import time

import psutil  # type: ignore[import-untyped]

QUIET_CORES = 0.15
"""Cores that may be busy while nothing is measured."""
DISTURBED_CORES = 0.2
"""A run during which others used more than this is thrown away, once, and measured again."""
WAIT_AT_MOST_S = 5.0
LOOK_FOR_S = 0.5


def busy_s() -> float:
    """CPU seconds that all processes of the machine have used since it started, and what the host took away."""
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice + times.irq + times.softirq + times.steal)


def wait_until_quiet() -> bool:
    """Wait until hardly anything runs; False if that took too long."""
    deadline = time.monotonic() + WAIT_AT_MOST_S
    while time.monotonic() < deadline:
        before, started_at = busy_s(), time.monotonic()
        time.sleep(LOOK_FOR_S)
        if (busy_s() - before) / (time.monotonic() - started_at) <= QUIET_CORES:
            return True
    return False
