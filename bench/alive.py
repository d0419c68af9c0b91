"""The longest time for which an instance does not answer `/_alive`, by what it does meanwhile: `python -m bench.alive`.

The platform asks every 15 s and waits a second. Here it is asked without pause: the gap between two answers is how long
something held the interpreter's lock. `--root` measures another checkout, with this one's environment.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

from bench.processes import end_tree
from rehearsal.dev_server import service_command, wait_until_answered
from rehearsal.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
PAUSE_S, IDLE_S, LOAD_S, NUM_CLIENTS, START_S = 0.05, 2.0, 15.0, 24, 300.0
TWELVE_MB = json.dumps({"texts": ["\U0001f600" * 10_000] * 100, "max_length": 50}).encode()
LISTS = b'{"texts":[' + b"[]," * 26_000_000 + b"[]]}"
ONE_TEXT = b'{"texts":["' + b"x" * 100_000_000 + b'"]}'


class Prober:
    """Asks `/_alive` on a thread of its own; `gaps` are the longest, in seconds, by the phase that was set."""

    def __init__(self, port: int) -> None:
        self.phase = "loading"
        self.gaps: dict[str, float] = defaultdict(float)
        self._port = port
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_done.set()
        self._thread.join()

    def _ask(self) -> None:
        answered_at = None
        while not self._is_done.wait(PAUSE_S):
            with suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
                connection.request("GET", "/_alive")
                connection.getresponse().read()
                connection.close()
                now = time.monotonic()
                if answered_at is not None:
                    self.gaps[self.phase] = max(self.gaps[self.phase], now - answered_at)
                answered_at = now


def measure(root: Path) -> dict[str, float]:
    """The longest gaps of the chute in `root`, with the bundled model, in seconds by phase."""
    port = free_port()
    environment = os.environ | {"CHUTES_EXECUTION_CONTEXT": "REMOTE", "BATCH_PROCESSOR_MODEL": "bundled"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(service_command(port), cwd=root, env=environment, stdout=log, stderr=log)
        prober = Prober(port + 1)
        try:
            wait_until_answered(f"http://127.0.0.1:{port}/batch-stats", process)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as client:
                prober.phase = "idle"
                time.sleep(IDLE_S)
                prober.phase = "4 bodies of 12 MB"
                _at_once(4, lambda: client.post("/process-batch", content=TWELVE_MB))
                prober.phase = "78 MB of lists"
                client.post("/process-batch", content=LISTS)
                prober.phase = "a text of 100 MB"
                client.post("/process-batch", content=ONE_TEXT)
                prober.phase = f"{NUM_CLIENTS} clients of 100 texts"
                _at_once(NUM_CLIENTS, lambda: _load(str(client.base_url)))
        finally:
            prober.stop()
            end_tree(process)
    return dict(prober.gaps)


def _at_once(times: int, call: Callable[[], object]) -> None:
    threads = [threading.Thread(target=call) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _load(url: str) -> None:
    ends_at = time.monotonic() + LOAD_S
    with httpx.Client(base_url=url, timeout=300) as client:
        number = 0
        while time.monotonic() < ends_at:
            texts = [f"The parcel came on Monday and I love it, number {number} of {index}." for index in range(100)]
            client.post("/process-batch", json={"texts": texts})
            number += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT)
    gaps = measure(parser.parse_args().root)
    print("| while | longest gap, s |\n|---|---|")
    for phase, gap in gaps.items():
        print(f"| {phase} | {gap:.2f} |")


if __name__ == "__main__":
    main()
