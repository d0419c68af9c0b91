"""The arms behind HTTP: how each server is started, what a request to it looks like, and where its labels are."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.tuning import Tuning
from rehearsal.dev_server import service_command

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
VENVS = ROOT / "bench" / ".venvs"


@dataclass(frozen=True)
class Server:
    """An arm that answers over HTTP.

    Attributes:
        name: as in tables and options.
        command: from checkpoint, port and tuning to the command line.
        folder: where the command runs.
        body: from a request's texts to path and JSON body.
        labels: from a decoded answer to the label of each text.
    """

    name: str
    command: Callable[[Path, int, Tuning], list[str]]
    folder: Path
    body: Callable[[list[str]], tuple[str, Any]]
    labels: Callable[[Any], list[str]]

    def is_installed(self) -> bool:
        """Whether the environment it runs in was set up."""
        return self.name == "service" or (VENVS / self.name / ".installed").exists()

    def environment(self, checkpoint: Path, port: int, threads: int, tuning: Tuning) -> dict[str, str]:
        """Variables of the server's process: the same threads for all, and what the peers' serving code reads."""
        return {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "DO_NOT_TRACK": "1",
            "BENTOML_DO_NOT_TRACK": "True",
            "RAY_USAGE_STATS_ENABLED": "0",
            # Otherwise Ray runs its workers at a lower priority than everything else.
            "RAY_worker_niceness": "0",
            "INFINITY_ANONYMOUS_USAGE_STATS": "0",
            # Otherwise vLLM leaves a core to its scheduler, and computes on the rest.
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "CHUTES_EXECUTION_CONTEXT": "REMOTE",
            "BATCH_PROCESSOR_MODEL": str(checkpoint),
            "BATCH_PROCESSOR_DEVICE": "cpu",
            "BATCH_PROCESSOR_PRECISION": "float32",
            # The peers keep no answers, and the rounds repeat their texts.
            "BATCH_PROCESSOR_ANSWER_CACHE_MIB": "0",
            "BENCH_MODEL": str(checkpoint),
            "BENCH_PORT": str(port),
            "BENCH_THREADS": str(threads),
            "BENCH_CHUNK_SIZE": str(tuning.chunk_size),
            "BENCH_MAX_REQUESTS": str(tuning.max_requests),
            "BENCH_WAIT_MS": str(tuning.wait_ms),
            **({} if self.name == "service" else {"PYTHONPATH": str(PEERS / "common")}),
        }

    def start(self, checkpoint: Path, port: int, threads: int, tuning: Tuning, log: Path) -> subprocess.Popen[bytes]:
        """Start the server; it is not ready yet."""
        with log.open("wb") as output:
            return subprocess.Popen(
                self.command(checkpoint, port, tuning),
                cwd=self.folder,
                env=self.environment(checkpoint, port, threads, tuning),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def request(self, texts: list[str]) -> tuple[str, bytes]:
        """Path and serialised body of a request."""
        path, body = self.body(texts)
        return path, json.dumps(body).encode()


def _service_command(checkpoint: Path, port: int, tuning: Tuning) -> list[str]:
    return service_command(port)


def _service_body(texts: list[str]) -> tuple[str, Any]:
    return ("/analyze-single", {"text": texts[0]}) if len(texts) == 1 else ("/process-batch", {"texts": texts})


def _service_labels(answer: Any) -> list[str]:
    return [result["sentiment"] for result in answer.get("results", [answer])]


def _infinity_command(checkpoint: Path, port: int, tuning: Tuning) -> list[str]:
    command = [_program("infinity", "infinity_emb"), "v2", "--model-id", str(checkpoint), "--port", str(port)]
    command += ["--served-model-name", "sentiment", "--engine", "torch", "--device", "cpu", "--dtype", "float32"]
    command += ["--batch-size", str(tuning.chunk_size), "--log-level", "warning", "--host", "127.0.0.1"]
    return [*command, "--no-bettertransformer", "--compile" if tuning.is_compiled else "--no-compile"]


def _program(peer: str, program: str) -> str:
    return str(VENVS / peer / "bin" / program)


def _script(peer: str) -> Callable[[Path, int, Tuning], list[str]]:
    return lambda checkpoint, port, tuning: [_program(peer, "python"), "serve.py"]


def _bentoml_command(checkpoint: Path, port: int, tuning: Tuning) -> list[str]:
    return [_program("bentoml", "bentoml"), "serve", "serve:Sentiment", "--host", "127.0.0.1", "--port", str(port)]


def _vllm_command(checkpoint: Path, port: int, tuning: Tuning) -> list[str]:
    # The program `vllm` looks up its version as that of a package `vllm`; the one for CPUs is `vllm-cpu`.
    command = [_program("vllm", "python"), "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint)]
    command += ["--served-model-name", "sentiment", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--runner", "pooling", "--dtype", "float32", "--max-num-seqs", str(tuning.max_requests)]
    # Of the machine's memory, also on a CPU.
    return [*command, "--gpu-memory-utilization", "0.3", "--uvicorn-log-level", "warning"]


def _infinity_body(texts: list[str]) -> tuple[str, Any]:
    return "/classify", {"model": "sentiment", "input": texts}


def _infinity_labels(answer: Any) -> list[str]:
    return [_best_of(scores) for scores in answer["data"]]


def _best_of(scores: Sequence[dict[str, Any]]) -> str:
    return str(max(scores, key=lambda entry: entry["score"])["label"])


SERVERS = {
    server.name: server
    for server in (
        Server("service", _service_command, ROOT, _service_body, _service_labels),
        Server("infinity", _infinity_command, PEERS / "infinity", _infinity_body, _infinity_labels),
        Server("infinity-onnx", _script("infinity-onnx"), PEERS / "infinity-onnx", _infinity_body, _infinity_labels),
        Server(
            "litserve",
            _script("litserve"),
            PEERS / "litserve",
            lambda texts: ("/predict", {"texts": texts}),
            lambda answer: list(answer["labels"]),
        ),
        Server("mosec", _script("mosec"), PEERS / "mosec", lambda texts: ("/inference", texts), list),
        Server("bentoml", _bentoml_command, PEERS / "bentoml", lambda texts: ("/classify", {"texts": texts}), list),
        Server(
            "vllm",
            _vllm_command,
            PEERS / "vllm",
            _infinity_body,
            lambda answer: [str(entry["label"]) for entry in answer["data"]],
        ),
        Server("ray-serve", _script("ray-serve"), PEERS / "ray-serve", lambda texts: ("/", texts), list),
    )
}
PEER_NAMES = tuple(name for name in SERVERS if name != "service")
