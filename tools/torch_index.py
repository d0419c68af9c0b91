"""Which index has a PyTorch without CUDA for this machine: a tenth of the size of the one that PyPI gives to Linux.

Prints the index's address, or nothing: then pip's own choice is right. `make` asks before there is an environment, so
this imports nothing but the standard library.
"""

from __future__ import annotations

import platform
import shutil
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

TIMEOUT_S = 3.0
"""For all of it, looking up the name included: a network without a way to the index must not hold up the set-up."""


def is_for_cpu_build() -> bool:
    """Whether this is a Linux machine without an NVIDIA GPU. Elsewhere PyPI has the right build."""
    has_gpu = Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None
    return platform.system() == "Linux" and not has_gpu


def is_reachable(index: str, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether an index has a page of torch's builds, and says so in time."""
    answers: list[bool] = []
    # A thread, because a timeout of urllib bounds each read, and no look-up of a name.
    thread = threading.Thread(target=lambda: answers.append(_has_torch(index, timeout_s)), daemon=True)
    thread.start()
    thread.join(timeout_s)
    return answers == [True]


def _has_torch(index: str, timeout_s: float) -> bool:
    try:
        with urllib.request.urlopen(f"{index.rstrip('/')}/torch/", timeout=timeout_s) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def choose(index: str, is_wanted: Callable[[], bool] = is_for_cpu_build) -> str:
    """`index` where its builds are wanted and it can be reached; otherwise an empty string."""
    return index if is_wanted() and is_reachable(index) else ""


if __name__ == "__main__":
    print(choose(sys.argv[1]))
