"""Process trees of measured arms: their memory and CPU time, and stopping them while another arm is measured."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from collections.abc import Iterator
from types import TracebackType

import psutil  # type: ignore[import-untyped]

MIB = 1024**2
SAMPLE_EVERY_S = 0.25


def process_tree(pid: int) -> list[psutil.Process]:
    """The process and all it started, as far as they still live."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def freeze(pid: int) -> None:
    """Stop the tree: several peers poll while idle, which would cost the arm being measured."""
    _signal_all(pid, signal.SIGSTOP)


def thaw(pid: int) -> None:
    """Let a frozen tree go on."""
    _signal_all(pid, signal.SIGCONT)


def _signal_all(pid: int, number: signal.Signals) -> None:
    for process in process_tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def rss_mib(pid: int) -> float:
    """Resident memory of the tree. Pages that its processes share count once for each."""
    return sum(_rss_bytes(pid)) / MIB


def _rss_bytes(pid: int) -> Iterator[int]:
    for process in process_tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            yield process.memory_info().rss


def cpu_s(pid: int) -> float:
    """CPU seconds the living processes of the tree have used."""
    total = 0.0
    for process in process_tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """End a tree that this process started: politely, then for good."""
    tree = process_tree(process.pid)
    thaw(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)
    for member in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


class PeakMemory:
    """Context manager that samples a tree's resident memory; `mib` is the highest sample."""

    def __init__(self, pid: int) -> None:
        self.mib = 0.0
        self._pid = pid
        self._is_over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._is_over.wait(SAMPLE_EVERY_S):
            self.mib = max(self.mib, rss_mib(self._pid))

    def __enter__(self) -> PeakMemory:
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._sampler.join()
        self.mib = max(self.mib, rss_mib(self._pid))
