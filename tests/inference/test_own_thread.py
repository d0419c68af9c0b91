"""What is computed before the worker thread begins leaves no threads behind that OpenMP would count."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time

import psutil
import pytest
import torch

from batch_inference.own_thread import in_own_thread


def test_it_returns_what_the_work_returns() -> None:
    assert in_own_thread(lambda: 1 + 1) == 2


def test_it_raises_what_the_work_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        in_own_thread(lambda: 1 / 0)


@pytest.mark.skipif(torch.get_num_threads() < 2, reason="one core computes without a team")
def test_no_thread_is_left_that_the_work_computed_with() -> None:
    def num_threads() -> int:
        return psutil.Process().num_threads()

    def compute() -> int:
        torch.ones(1000, 1000).exp_()
        return num_threads()

    before, python_threads = num_threads(), threading.active_count()
    # The thread itself and at least one more of its team.
    assert in_own_thread(compute) >= before + 2
    assert threading.active_count() == python_threads
    deadline = time.monotonic() + 30
    while num_threads() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert num_threads() <= before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="torch comes with another OpenMP")
@pytest.mark.parametrize(("set_by_deployer", "expected"), [(None, "10000"), ("77", "77")])
def test_teams_stop_waiting_awake_soon_after_a_pass(set_by_deployer: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    if set_by_deployer:
        environment["GOMP_SPINCOUNT"] = set_by_deployer
    told = subprocess.run(
        [sys.executable, "-c", "import batch_inference, torch"],
        env=environment | {"OMP_DISPLAY_ENV": "verbose"}, capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    assert f"GOMP_SPINCOUNT = '{expected}'" in told
