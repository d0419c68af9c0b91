"""An instance whose model answers at once: `python .../bench/host/instant.py dev|encrypted|stages ...`.

Run in the folder of a checkout, it serves that checkout's code, also of earlier commits: so it imports nothing of the
bench's. What is left without a forward pass is what the host does for a text.
"""

from __future__ import annotations

import json
import os
import runpy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, os.getcwd())
os.environ["CHUTES_EXECUTION_CONTEXT"] = "REMOTE"
# The rounds repeat their texts, and each is to be handled anew.
os.environ["BATCH_PROCESSOR_ANSWER_CACHE_MIB"] = "0"

import numpy as np
from transformers import AutoTokenizer

from batch_inference.model import SentimentModel
from batch_inference.tokenizer import TextTokenizer

ANSWERS = np.tile(np.array([0.25, 0.0625, 0.6875], np.float32), (100_000, 1))
MAX_LENGTH = 512
STAGE_ROUNDS = 60


class InstantModel:
    """Stands in for `SentimentModel`: a real tokenizer, and the same answer for every text."""

    labels = ("NEGATIVE", "NEUTRAL", "POSITIVE")
    num_outputs = len(labels)
    max_tokens = MAX_LENGTH
    inner_size = 3072
    max_in_flight = 1
    is_padded = False
    device = "cpu"
    precision = "float32"
    forward = "packed"

    def __init__(self, checkpoint: str) -> None:
        # Before the engine took any head, it had no such module.
        if Path("batch_inference/heads.py").exists():
            from batch_inference.heads import SentimentHead

            self.head = SentimentHead()
        self.tokenizer = TextTokenizer(AutoTokenizer.from_pretrained(checkpoint))

    def prepare(self, rows: Any) -> Any:
        return SimpleNamespace(num_rows=len(rows))

    def launch(self, prepared: Any) -> Any:
        return SimpleNamespace(result=lambda: self.run(prepared))

    def run(self, prepared: Any, meanwhile: Any = None) -> Any:
        # What a runner did before passes were launched.
        answers = ANSWERS[: prepared.num_rows]
        # Before requests became arrays, a runner answered with lists.
        return answers.copy() if Path("batch_inference/token_rows.py").exists() else answers.tolist()

    def probabilities(self, rows: Any) -> Any:
        return self.run(self.prepare(rows))

    def memory_gib(self) -> None:
        return None

    def peak_memory_gib(self) -> None:
        return None


def serve_dev(port: str) -> None:
    """What `make run` serves."""
    from chutes.cli import app

    sys.argv = ["chutes", "run", "batch_processor:chute", "--dev", "--host", "127.0.0.1", "--port", port]
    sys.argv += ["--logging-port", str(int(port) + 1)]
    app()


def serve_encrypted(port: str, cords_file: str) -> None:
    """What the platform runs, with the stand-ins of the rehearsal for its closed-source parts."""
    sys.argv = ["instance", "batch_processor:chute", "--port", port, "--cords-file", cords_file]
    if "--logging-port" in Path("rehearsal/instance.py").read_text():
        sys.argv += ["--logging-port", str(int(port) + 1)]
    runpy.run_module("rehearsal.instance", run_name="__main__")


def measure_stages(texts_file: str) -> None:
    """Print CPU microseconds a text of what happens to a request of all these texts inside a cord, as JSON."""
    from batch_http.answers import batch_result, json_response
    from batch_inference.engine import Engine
    from batch_inference.settings import load_settings
    from schemas import BatchRequest, parse_request

    texts = json.loads(Path(texts_file).read_text())
    settings = load_settings()
    engine = Engine.start(settings)
    request = parse_request(BatchRequest, {"texts": texts})
    outcome = engine.classify(texts, MAX_LENGTH)
    stages: dict[str, Callable[[], object]] = {
        "parse": lambda: parse_request(BatchRequest, {"texts": texts}),
        "tokenize": lambda: engine.model.tokenizer.encode(texts, MAX_LENGTH),
        "tokenize, queue, deliver": lambda: engine.classify(texts, MAX_LENGTH),
        "answer": lambda: json_response(batch_result(request, outcome, 0.1, engine, settings)),
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


if __name__ == "__main__":
    SentimentModel.load = lambda settings, head=None: InstantModel(settings.model_source)  # type: ignore
    match sys.argv[1:]:
        case ["dev", port]:
            serve_dev(port)
        case ["encrypted", port, cords_file]:
            serve_encrypted(port, cords_file)
        case ["stages", texts_file]:
            measure_stages(texts_file)
