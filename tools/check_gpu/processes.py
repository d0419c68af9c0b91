"""Parts in a process of their own: killed when one takes too long, replaced when one fails."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tools.check_gpu.parts import Figures, Part

ROOT = Path(__file__).resolve().parent.parent.parent
START_S = 60
"""For a worker to import torch and transformers."""


def run_parts(
    parts: Sequence[Part], command: Sequence[str], max_s: float, write: Callable[[Figures], object]
) -> Figures:
    """Run all parts for which there is time. One that fails is written down as such, and the rest goes on.

    Args:
        parts: what to run, in this order.
        command: starts a worker, as `tools.check_gpu.worker` is one.
        max_s: all of it takes no longer, whatever a part does.
        write: called with what is known, after each part.
    """
    report: Figures = {}
    ends_at = time.monotonic() + max_s
    worker: Worker | None = None
    try:
        for part in parts:
            if ends_at - time.monotonic() < part.needs_s:
                report[part.name] = {"left_out": "no time left"}
                write(report)
                continue
            started_at = time.monotonic()
            if worker is None or worker.environment != dict(part.environment) or not worker.is_alive:
                if worker:
                    worker.kill()
                worker = Worker(command, dict(part.environment))
            figures = worker.run(part, ends_at)
            report[part.name] = figures | {"seconds": round(time.monotonic() - started_at, 1)}
            print(f"{part.name}: {report[part.name]['seconds']} s", file=sys.stderr, flush=True)
            write(report)
    finally:
        if worker:
            worker.kill()
    return report


@dataclass(frozen=True)
class _Ended:
    """A worker has closed its output."""


class Worker:
    """A process that runs parts one after the other, as it is asked, until one fails.

    Attributes:
        environment: its own variables.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self.environment = environment
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            # What it starts is killed with it.
            start_new_session=True,
        )
        self._answers: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        self._is_ready = False

    @property
    def is_alive(self) -> bool:
        """Whether it takes another part."""
        return self._process.poll() is None

    def run(self, part: Part, ends_at: float) -> Figures:
        """A part's figures, or its `error`, after which the worker is gone."""
        if not self._is_ready:
            ready = self._answer(min(START_S, ends_at - time.monotonic()))
            if ready != {"is_ready": True}:
                return self._failed(ready, "did not start")
            self._is_ready = True
        limit_s = min(part.limit_s, ends_at - time.monotonic())
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps([part.module, part.name]).encode() + b"\n")
            self._process.stdin.flush()
        answer = self._answer(limit_s)
        if not isinstance(answer, dict):
            return self._failed(answer, f"was killed after {limit_s:.0f} s")
        if "error" in answer:
            # A context that a fault has poisoned fails at everything after it.
            self.kill()
        return answer

    def kill(self) -> None:
        """End it, and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _failed(self, answer: Any, what: str) -> Figures:
        ended = isinstance(answer, _Ended)
        self.kill()
        self._log.seek(0)
        last_words = self._log.read().decode(errors="replace")[-400:]
        how = f"its process ended with {self._process.returncode}" if ended else f"it {what}"
        return {"error": f"{how}: {last_words}"}

    def _answer(self, timeout_s: float) -> Any:
        """What it answers; `_Ended` if it ended, None if it took too long."""
        try:
            return self._answers.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None

    def _read(self, output: IO[bytes]) -> None:
        for line in output:
            self._answers.put(json.loads(line))
        self._process.wait()
        self._answers.put(_Ended())
