"""One interface to measure any arm: started, warmed up, run when it is its turn, and frozen while it is not."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import PeakMemory, cpu_s, end_tree, freeze, rss_mib, thaw
from bench.quiet import busy_s
from bench.servers import PEERS, SERVERS, VENVS, Server
from bench.tuning import Tuning
from rehearsal.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 300

IN_PROCESS_ARMS = ("engine", "naive", "pipeline")
RUNTIMES = ("onnxruntime", "openvino", "ctranslate2")
RUNTIME_ARMS = tuple(f"{name}{suffix}" for name in RUNTIMES for suffix in ("", "-int8"))
"""What a user with a CPU might take instead of torch, each in an environment of its own."""
HTTP_ARMS = tuple(SERVERS)
BEFORE = "-before"
"""Ends the name of an arm that is another checkout's."""


class ArmError(Exception):
    """An arm did not start or did not answer; the message ends with the end of its log."""


@dataclass(frozen=True)
class Measurement:
    """What one run of one arm gave. Latencies are those of requests; CPU seconds are of the arm's process tree."""

    elapsed_s: float
    latencies_s: list[float]
    labels: list[str]
    num_tokens: list[int]
    peak_rss_mib: float
    cpu_s: float
    loadgen_cpu_s: float
    other_cores: float
    """Cores that processes outside the bench kept busy meanwhile."""


class Arm(ABC):
    """A context manager: a process tree that classifies requests, frozen but while it is measured."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self._log = log
        self._process = self._start()
        try:
            self._wait_until_ready()
        except BaseException:
            end_tree(self._process)
            raise
        freeze(self._process.pid)

    @abstractmethod
    def _start(self) -> subprocess.Popen[bytes]: ...

    @abstractmethod
    def _wait_until_ready(self) -> None: ...

    @abstractmethod
    def _run(self, requests: list[list[str]], clients: int, cycles: int) -> tuple[dict[str, Any], list[str]]:
        """Send the requests, `cycles` times over; the load's figures and the labels."""

    def measure(self, requests: list[list[str]], clients: int, cycles: int = 1) -> Measurement:
        """Thaw, wake up with one small request, run all requests so many times over, freeze."""
        pid = self._process.pid
        thaw(pid)
        try:
            self._run([requests[0][:2]], 1, 1)
            cpu_before, own_before = cpu_s(pid), _own_cpu_s()
            busy_before, started_at = busy_s(), time.monotonic()
            with PeakMemory(pid) as memory:
                load, labels = self._run(requests, clients, cycles)
            used_s, own_s = cpu_s(pid) - cpu_before, _own_cpu_s() - own_before
            other_s = busy_s() - busy_before - used_s - own_s
            other_cores = max(0.0, other_s / (time.monotonic() - started_at))
        finally:
            freeze(pid)
        num_texts = cycles * sum(map(len, requests))
        if len(labels) != num_texts:
            raise ArmError(f"{self.name} gave {len(labels)} labels for {num_texts} texts")
        return Measurement(
            elapsed_s=load["elapsed_s"],
            latencies_s=load["latencies_s"],
            labels=[label.upper() for label in labels],
            num_tokens=load.get("num_tokens", []),
            peak_rss_mib=memory.mib,
            cpu_s=used_s,
            loadgen_cpu_s=load["cpu_s"] if isinstance(self, HttpArm) else 0.0,
            other_cores=other_cores,
        )

    def rss_mib(self) -> float:
        """Resident memory now."""
        return rss_mib(self._process.pid)

    def close(self) -> None:
        """End the process tree."""
        end_tree(self._process)

    def _error(self, what: str) -> ArmError:
        log = self._log.read_text(errors="replace")
        return ArmError(f"{self.name} {what}. The end of {self._log}:\n{log[-3000:]}")


class InProcessArm(Arm):
    """A routine in a worker process, without HTTP; `root` is the checkout whose it is."""

    def __init__(self, name: str, checkpoint: Path, threads: int, log: Path, root: Path = ROOT) -> None:
        self._root = root
        self._checkpoint = checkpoint
        self._threads = threads
        self.batch_size: int | None = None
        """For the pipeline: what its sweep found best for the texts at hand."""
        super().__init__(name, log)

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(self._threads),
            "MKL_NUM_THREADS": str(self._threads),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
        }
        command = [sys.executable, "-m", "bench.worker", self.name.removesuffix(BEFORE), str(self._checkpoint)]
        if self.name in RUNTIME_ARMS:
            runtime = self.name.removesuffix("-int8")
            if not (VENVS / runtime / ".installed").exists():
                raise ArmError(f"{runtime} is not installed; `python -m bench.setup {runtime}` says why")
            environment["PYTHONPATH"] = str(PEERS / "common")
            worker = str(PEERS / runtime / "worker.py")
            command = [str(VENVS / runtime / "bin" / "python"), worker, self.name, str(self._checkpoint)]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                command, cwd=self._root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )

    def _wait_until_ready(self) -> None:
        self._read_line()

    def _run(self, requests: list[list[str]], clients: int, cycles: int) -> tuple[dict[str, Any], list[str]]:
        job: dict[str, Any] = {"requests": requests, "clients": clients, "cycles": cycles}
        if self.batch_size:
            job["batch_size"] = self.batch_size
        result = self._call(job)
        return result, result["labels"]

    def flop_per_s(self) -> dict[str, float]:
        """For the arm `limit`: what the model's matrix products reach, by kind of kernels."""
        thaw(self._process.pid)
        try:
            return self._call({})
        finally:
            freeze(self._process.pid)

    def _call(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        return self._read_line()

    def _read_line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._error("ended")
        result: dict[str, Any] = json.loads(line)
        return result


class HttpArm(Arm):
    """A server, with the load generator in a process of its own."""

    def __init__(self, server: Server, checkpoint: Path, threads: int, tuning: Tuning, log: Path) -> None:
        self._server = server
        self._settings = (checkpoint, free_port(), threads, tuning)
        self._url = f"http://127.0.0.1:{self._settings[1]}"
        super().__init__(server.name, log)

    def _start(self) -> subprocess.Popen[bytes]:
        return self._server.start(*self._settings, self._log)

    def _wait_until_ready(self) -> None:
        """Ready is what answers a request right, not what opens a port."""
        path, body = self._server.request(["ready?", "ready!"])
        request = urllib.request.Request(self._url + path, body, {"Content-Type": "application/json"})
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._error(f"ended with {self._process.returncode}")
            try:
                with urllib.request.urlopen(request, timeout=60) as response:
                    self._server.labels(json.load(response))
                    return
            except urllib.error.HTTPError as error:
                # Before a server is ready it may say so, or not know its routes yet.
                if error.code not in (404, 503):
                    raise self._error(f"answered {error.code}: {error.read()[:500]!r}") from error
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.2)
        raise self._error(f"was not ready within {START_TIMEOUT_S} s")

    def _run(self, requests: list[list[str]], clients: int, cycles: int) -> tuple[dict[str, Any], list[str]]:
        prepared = [self._server.request(texts) for texts in requests * cycles]
        job = {
            "url": self._url + prepared[0][0],
            "bodies": [base64.b64encode(body).decode() for _, body in prepared],
            "clients": clients,
        }
        command = [sys.executable, "-m", "bench.loadgen"]
        load = subprocess.run(command, cwd=ROOT, input=json.dumps(job).encode(), capture_output=True, check=False)
        if load.returncode:
            raise self._error(f"failed: {load.stderr.decode(errors='replace')[-2000:]}")
        result: dict[str, Any] = json.loads(load.stdout)
        return result, [label for answer in result["answers"] for label in self._server.labels(answer)]


def _own_cpu_s() -> float:
    """CPU seconds of this process and of the load generators that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
