"""A chute on the SDK's own server in dev mode, as `make run` serves it."""

from __future__ import annotations

import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rehearsal.ports import free_port
from rehearsal.warm_start import Process, start_program

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 180

SDK_FAILED = "Unexpected error executing _run_chute()"
"""Stands in the log of a start that failed. The SDK then sleeps for a minute before it exits."""


class ServerNotReadyError(RuntimeError):
    """A server ended before it answered, or took too long; the message ends with its log."""


@dataclass(frozen=True)
class Server:
    """A running service: its address, process and log."""

    url: str
    process: Process
    log: Path


def service_command(port: int, chute: str = "batch_processor:chute") -> list[str]:
    """How the SDK serves a chute at a port, in dev mode; its log server, with `/_alive`, is at the next port."""
    command = [sys.executable, "-m", "chutes.cli", "run", chute, "--dev", "--host", "127.0.0.1"]
    return [*command, "--port", str(port), "--logging-port", str(port + 1)]


@contextmanager
def running_server(
    log: Path,
    chute: str = "batch_processor:chute",
    code: Path = ROOT,
    output: Path | None = None,
    is_forked: bool = True,
    **environment: str,
) -> Iterator[Server]:
    """Serve a chute of the folder `code` in a process of its own; ours with the bundled model.

    It writes to the file `log`, or to the pipe `output` if there is one. A fork starts sooner than a new process.

    Raises:
        ServerNotReadyError: it does not start.
    """
    port = free_port()
    environment = {
        "CHUTES_EXECUTION_CONTEXT": "REMOTE",
        "BATCH_PROCESSOR_MODEL": "bundled",
        # Tests ask for the same texts again to see them computed again.
        "BATCH_PROCESSOR_ANSWER_CACHE_MIB": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": str(ROOT),
        **environment,
    }
    log.touch()
    _, _, module, *arguments = service_command(port, chute)
    process = start_program(module, arguments, code, environment, output or log, is_forked)
    try:
        wait_until_answered(f"http://127.0.0.1:{port}/batch-stats", process, log)
        yield Server(f"http://127.0.0.1:{port}", process, log)
    finally:
        process.kill()
        process.wait()


def wait_until_answered(url: str, process: Process, log: Path | None = None) -> None:
    """Return once a GET of `url` is answered, whatever its status.

    Raises:
        ServerNotReadyError: as `wait_until_up`.
    """

    def is_answered() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=60):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    wait_until_up(is_answered, process, log)


def wait_until_listening(port: int, process: Process, log: Path | None = None) -> None:
    """Return once something listens at the port.

    Raises:
        ServerNotReadyError: as `wait_until_up`.
    """

    def is_listening() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until_up(is_listening, process, log)


def wait_until_up(is_up: Callable[[], bool], process: Process, log: Path | None) -> None:
    """Return once a server is up, by its own measure.

    Raises:
        ServerNotReadyError: it ended or failed before that, or took longer than `START_TIMEOUT_S`.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        written = log.read_text(encoding="utf-8", errors="replace") if log else ""
        if process.poll() is not None or SDK_FAILED in written:
            raise ServerNotReadyError(f"the server did not start:\n{written[-4000:]}")
        if is_up():
            return
        time.sleep(0.1)
    raise ServerNotReadyError(f"the server is not up after {START_TIMEOUT_S} s:\n{written[-4000:]}")
