"""Programs that start in two CPU seconds rather than ten: forks of a Python that has imported the slow packages.

A test server is the same program as ever, run from its first line in the fork. Imported beforehand are only packages of
others that read no environment then; the repository's code and the SDK are imported by each program anew. This file
runs as a script in that Python: it reads an order a line and answers each with a line.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

PACKAGES = [
    "aiohttp", "fastapi", "httpx", "hypercorn", "loguru", "numpy", "orjson", "prometheus_client", "pydantic_settings",
    "rich.console", "safetensors.torch", "substrateinterface", "tokenizers", "torch", "typer",
    "transformers.generation.utils", "transformers.models.auto.modeling_auto",
    *(f"transformers.models.{kind}.modeling_{kind}" for kind in ("bert", "camembert", "roberta", "xlm_roberta")),
]  # fmt: skip

READ_WHEN_IMPORTED = ("HF_", "OMP_", "PYTHONPYCACHEPREFIX", "TORCH", "TRANSFORMERS_")
"""Variables that begin so are read before a program's first line: it needs a Python of its own."""

POLL_S = 0.05


class Process(Protocol):
    """What tests do with a running program; `subprocess.Popen` has it all."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...

    def kill(self) -> None: ...


def start_program(
    module: str,
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    is_forked: bool = True,
) -> Process:
    """Run `python -m module` in `folder` with these variables over the process's own; what it prints goes to `log`."""
    if not is_forked or any(name.startswith(READ_WHEN_IMPORTED) for name in environment):
        with log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=folder,
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
    return _warm_python().start(module, arguments, folder, {**os.environ, **environment}, log)


class WarmPython:
    """The tests' side: starts forks, and asks whether they have ended. Ends with the process that has it.

    `python` is the command of this one or of an environment's own; another user's, if the command says so.
    """

    def __init__(self, python: Sequence[str] = (sys.executable,), environment: Mapping[str, str] | None = None) -> None:
        # -P: the folder of this file is not where programs look for modules.
        self._process = subprocess.Popen(
            [*python, "-P", __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._lock = threading.Lock()

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        answers: str = "",
    ) -> Process:
        """Run a module with nothing but these variables, and `answers` on its standard input."""
        # There from the start, as a file that a shell redirects to.
        log.write_bytes(b"")
        log.chmod(0o666)
        order = {
            "module": module, "arguments": list(arguments), "folder": str(folder), "environment": environment,
            "log": str(log), "answers": answers,
        }  # fmt: skip
        return _Fork(self, int(self.ask(order)["pid"]))

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            line = self._process.stdout.readline()
        assert line, "the warm Python has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


@lru_cache
def _warm_python() -> WarmPython:
    return WarmPython()


class _Fork:
    """A `Process` whose parent is the warm Python."""

    def __init__(self, parent: WarmPython, pid: int) -> None:
        self.pid = pid
        self._parent = parent
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            self._code = self._parent.ask({"poll": self.pid})["code"]
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            time.sleep(POLL_S)
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _become(order: dict[str, Any]) -> None:
    """In a fork: be the program, until it ends as any program does."""
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    answers, writing = os.pipe()
    os.write(writing, order["answers"].encode())
    os.close(writing)
    log = os.open(order["log"], os.O_WRONLY)
    for source, target in [(answers, 0), (log, 1), (log, 2)]:
        os.dup2(source, target)
    sys.stdin = os.fdopen(0)
    sys.path[:0] = [order["folder"], *order["environment"].get("PYTHONPATH", "").split(os.pathsep)]
    sys.argv = [order["module"], *order["arguments"]]
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


def main() -> None:
    """Obey until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # What an import prints is no answer.
    os.dup2(2, 1)
    for package in PACKAGES:
        with contextlib.suppress(ImportError):
            importlib.import_module(package)
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        if "poll" in order:
            ended, status = os.waitpid(order["poll"], os.WNOHANG)
            answers.write(json.dumps({"code": os.waitstatus_to_exitcode(status) if ended else None}) + "\n")
        elif pid := os.fork():
            answers.write(json.dumps({"pid": pid}) + "\n")
        else:
            answers.close()
            _become(order)
            return


if __name__ == "__main__":
    main()
