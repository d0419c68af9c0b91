"""Work in a thread that ends with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_own_thread(work: Callable[[], T]) -> T:
    """What `work` returns or raises.

    A thread that computed anything on a CPU keeps a team of threads for as long as it lives. OpenMP counts all of them,
    and where there are more than cores, a team no longer waits awake for its next order, but sleeps (GCC's libgomp,
    "GOMP_SPINCOUNT"): 30 us for each of a pass's hundreds of orders. So whatever is computed before the worker thread
    begins is computed in a thread that is gone by then: passes of RoBERTa-base, 1,000 tokens on two cores, take 390
    instead of 420 ms in float32, 144 instead of 170 in int8.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    # A daemon does not keep the process from ending.
    thread = threading.Thread(target=run, name="in-own-thread", daemon=True)
    thread.start()
    result = future.result()
    thread.join()
    return result
