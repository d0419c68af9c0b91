"""The service itself, over HTTP, on the SDK's own server if that is installed."""

from __future__ import annotations

import importlib.util
import json
import tempfile
import threading
import time
import urllib.request
from itertools import cycle, islice
from pathlib import Path

from rehearsal.dev_server import running_server
from tools.check_gpu.measuring import Figures, Run


def over_http(run: Run) -> Figures:
    """Texts a second of 8 clients with 100 tweets a request and of 64 with one; what the instance says of itself."""
    if importlib.util.find_spec("chutes") is None:
        return {"left_out": "the SDK is not installed"}
    figures: Figures = {}
    model, device = str(run.folder), run.device.split(":")[0]
    with (
        tempfile.TemporaryDirectory() as folder,
        # Straight from the SDK: the tests' faster start would fork a process that has torch loaded.
        running_server(
            Path(folder) / "log", is_forked=False, BATCH_PROCESSOR_MODEL=model, BATCH_PROCESSOR_DEVICE=device
        ) as server,
    ):
        for clients, size in ((8, 100), (64, 1)):
            if run.is_dry:
                clients, size = 2, min(size, 4)
            texts_per_s = _drive(server.url, run, clients, size, 0.2 if run.is_dry else 6.0)
            figures[f"{clients} x {size}"] = {"texts_per_s": texts_per_s}
        with urllib.request.urlopen(server.url + "/batch-stats") as response:
            report = json.load(response)["device_report"]
    return figures | {f"device: {name}": value for name, value in report.items() if value}


def _drive(url: str, run: Run, clients: int, size: int, seconds: float) -> float:
    texts = cycle(run.texts)
    bodies = cycle([json.dumps({"texts": list(islice(texts, size))}).encode() for _ in range(20)])
    lock = threading.Lock()
    done = [0] * clients
    ends_at = time.perf_counter() + seconds

    def client(number: int) -> None:
        while time.perf_counter() < ends_at:
            with lock:
                body = next(bodies)
            headers = {"Content-Type": "application/json"}
            with urllib.request.urlopen(urllib.request.Request(url + "/process-batch", body, headers)) as response:
                response.read()
            done[number] += size

    started_at = time.perf_counter()
    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - started_at)
