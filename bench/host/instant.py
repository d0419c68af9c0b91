"""An instance whose model answers at once: `python -m bench.host.instant dev|encrypted|stages ...`.

Run in the folder of a checkout, it serves that checkout's code: each has such a module of its own. What is left without
a forward pass is what the host does for a text.
"""

from __future__ import annotations

import json
import os
import runpy
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["CHUTES_EXECUTION_CONTEXT"] = "REMOTE"
# The rounds repeat their texts, and each is to be handled anew.
os.environ["BATCH_PROCESSOR_ANSWER_CACHE_MIB"] = "0"

from batch_classification.answers import batch_result
from batch_classification.head import SentimentHead
from batch_classification.settings import ClassifierSettings
from batch_http.requests import parse_request
from batch_http.responses import json_response
from batch_inference import start_up
from batch_inference.engine import Engine
from batch_inference.settings import load_settings
from bench.host.instant_model import MAX_LENGTH, InstantModel
from schemas import BatchRequest

STAGE_ROUNDS = 60


def serve_dev(port: str) -> None:
    """What `make run` serves."""
    from chutes.cli import app

    sys.argv = ["chutes", "run", "batch_processor:chute", "--dev", "--host", "127.0.0.1", "--port", port]
    sys.argv += ["--logging-port", str(int(port) + 1)]
    app()


def serve_encrypted(port: str, cords_file: str) -> None:
    """What the platform runs, with the stand-ins of the rehearsal for its closed-source parts."""
    sys.argv = ["instance", "batch_processor:chute", "--port", port, "--cords-file", cords_file]
    sys.argv += ["--logging-port", str(int(port) + 1)]
    runpy.run_module("rehearsal.instance", run_name="__main__")


def measure_stages(texts_file: str) -> None:
    """Print CPU microseconds a text of what happens to a request of all these texts inside a cord, as JSON."""
    texts = json.loads(Path(texts_file).read_text())
    settings = load_settings(ClassifierSettings)
    engine = Engine.start(settings, SentimentHead())
    request = parse_request(BatchRequest, {"texts": texts})
    outcome = engine.run(texts, MAX_LENGTH)
    stages: dict[str, Callable[[], object]] = {
        "parse": lambda: parse_request(BatchRequest, {"texts": texts}),
        "tokenize": lambda: engine.model.tokenizer.encode(texts, MAX_LENGTH),
        "tokenize, queue, deliver": lambda: engine.run(texts, MAX_LENGTH),
        "answer": lambda: json_response(batch_result(request, outcome, 0.1, engine)),
    }
    took: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(STAGE_ROUNDS):
        for name, stage in stages.items():
            before = time.process_time()
            stage()
            took[name].append((time.process_time() - before) / len(texts) * 1e6)
    result = {name: statistics.median(times) for name, times in took.items()}
    result["queue, deliver"] = result.pop("tokenize, queue, deliver") - result["tokenize"]
    print(json.dumps(result), flush=True)
    engine.close()


def use_stand_in(launches: str) -> None:
    """Have the engine load a model that answers at once; or one that launches passes in some way."""
    make: Callable[[str], Any] = InstantModel
    if launches:
        from bench.host.launching import COST, LaunchingModel

        make = partial(LaunchingModel, launches=launches)
        start_up.pass_cost = lambda model, settings: COST  # type: ignore[attr-defined]
    start_up.load_model = lambda settings, head, streams: make(settings.model_source)  # type: ignore


if __name__ == "__main__":
    use_stand_in(os.environ.get("BENCH_LAUNCHES", ""))
    match sys.argv[1:]:
        case ["dev", port]:
            serve_dev(port)
        case ["encrypted", port, cords_file]:
            serve_encrypted(port, cords_file)
        case ["stages", texts_file]:
            measure_stages(texts_file)
