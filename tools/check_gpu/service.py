"""The engine on the device: its workloads, its peers, the recall of real weights, and what it does in trouble."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from batch_classification.head import SentimentHead
from batch_classification.settings import ClassifierSettings
from batch_inference.engine import Engine
from batch_inference.errors import BatchInferenceError, DeviceLostError
from batch_inference.settings import load_settings
from bench.workloads import WORKLOADS, Workload
from rehearsal.texts import mixed_texts, tweet_texts
from tools.check_gpu.measuring import MAX_TOKENS, Figures, Run

ROOT = Path(__file__).resolve().parent.parent.parent
INSTANCE_CORES = 4
"""What the platform gives an instance."""
CHUNK = 16
"""The public example's."""
LOST_DEVICE_EXIT_CODE = 70
SOAK_S, DRY_SOAK_S, SOAK_PARTS = 60.0, 0.5, 6


@contextmanager
def _running(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.close()


def _drive(engine: Engine, requests: Sequence[Sequence[str]], clients: int, seconds: float) -> float:
    """Clients that each send their next request once the last one is answered; texts a second."""
    todo, lock = cycle(requests), threading.Lock()
    num_texts = [0] * clients
    started_at = time.perf_counter()

    def client(number: int) -> None:
        while time.perf_counter() - started_at < seconds:
            with lock:
                texts = next(todo)
            engine.run(texts, MAX_TOKENS)
            num_texts[number] += len(texts)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(num_texts) / (time.perf_counter() - started_at)


def _requests(run: Run, workload: Workload) -> list[list[str]]:
    num_texts = 8 if run.is_dry else 4000
    if workload.kind == "tweets":
        return workload.requests(tweet_texts(run.texts, num_texts))
    return workload.requests(mixed_texts(run.texts, num_texts, run.folder / "tokenizer.json"))


def engine(run: Run) -> Figures:
    """Texts a second on the four workloads, with all cores and with as many as an instance has."""
    seconds = 0.1 if run.is_dry else 5.0
    figures: Figures = {}
    all_cores = _cores()
    try:
        with _running(Engine.start(run.settings, SentimentHead())) as started:
            figures["forward"] = started.model.forward_name
            figures["max_batch_tokens"] = started.max_batch_tokens
            for cores in sorted({len(all_cores), min(INSTANCE_CORES, len(all_cores))}):
                _use_cores(all_cores[:cores])
                for workload in WORKLOADS.values():
                    clients = min(2, workload.clients) if run.is_dry else workload.clients
                    requests = _requests(run, workload)
                    _drive(started, requests, clients, seconds / 5)
                    texts_per_s = _drive(started, requests, clients, seconds)
                    figures[f"{workload.name}/{cores} cores"] = {"texts_per_s": texts_per_s}
    finally:
        _use_cores(all_cores)
    return figures


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def _use_cores(cores: Sequence[int]) -> None:
    # Of every thread: those of the engine run already.
    for thread in os.listdir("/proc/self/task"):
        # One may have ended since.
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cores)


@torch.inference_mode()
def peers(run: Run) -> Figures:
    """Texts a second of tweets in process: the public example's routine, transformers, and others if installed."""
    texts = run.texts[: 16 if run.is_dry else 1600]
    tokenizer = AutoTokenizer.from_pretrained(run.folder)
    figures: Figures = {}

    def classify(model: Any, texts: Sequence[str], is_autocast: bool) -> Any:
        encoded = tokenizer(list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        dtype = torch.bfloat16 if run.is_dry else torch.float16
        with torch.autocast(run.device.split(":")[0], dtype, enabled=is_autocast):
            return model(**encoded.to(run.device)).logits.float().softmax(-1)

    full, half = run.model(torch.float32), run.model(run.dtype)

    def example() -> None:
        for start in range(0, len(texts), CHUNK):
            for row in classify(full, texts[start : start + CHUNK], True):
                row.argmax().item(), row.max().item()

    figures["public example's routine"] = _texts_per_s(run, example, len(texts))
    in_order = sorted(texts, key=len)
    for size in [CHUNK] if run.is_dry else [16, 64, 256]:

        def sorted_half(size: int = size) -> None:
            for start in range(0, len(in_order), size):
                classify(half, in_order[start : start + size], False).tolist()

        figures[f"transformers, half weights, sorted, {size} at a time"] = _texts_per_s(run, sorted_half, len(texts))
    figures["sentence-transformers' CrossEncoder"] = _if_there(
        "sentence_transformers", lambda: _cross_encoder(run, texts)
    )
    figures["onnxruntime"] = _if_there("optimum.onnxruntime", lambda: _onnxruntime(run, texts))
    return figures


def _texts_per_s(run: Run, call: Callable[[], object], num_texts: int) -> dict[str, float]:
    if not run.is_dry:
        call()
    started_at = time.perf_counter()
    call()
    run.synchronize()
    return {"texts_per_s": num_texts / (time.perf_counter() - started_at)}


def _if_there(module: str, measure: Callable[[], Figures]) -> Figures:
    parts = module.split(".")
    names = [".".join(parts[: number + 1]) for number in range(len(parts))]
    if not all(importlib.util.find_spec(name) for name in names):
        return {"left_out": f"{module} is not installed"}
    return measure()


def _cross_encoder(run: Run, texts: Sequence[str]) -> Figures:
    from sentence_transformers import CrossEncoder

    encoder = CrossEncoder(str(run.folder), device=run.device, model_kwargs={"torch_dtype": run.dtype})
    # It takes pairs only, so that each text gets an empty partner.
    pairs = [(text, "") for text in texts]
    return _texts_per_s(run, lambda: encoder.predict(pairs, batch_size=64), len(texts))


def _onnxruntime(run: Run, texts: Sequence[str]) -> Figures:
    from optimum.onnxruntime import ORTModelForSequenceClassification

    provider = "CPUExecutionProvider" if run.is_dry else "CUDAExecutionProvider"
    model = ORTModelForSequenceClassification.from_pretrained(run.folder, export=True, provider=provider)
    tokenizer = AutoTokenizer.from_pretrained(run.folder)
    in_order = sorted(texts, key=len)

    def all_texts() -> None:
        for start in range(0, len(in_order), 64):
            batch = tokenizer(in_order[start : start + 64], padding=True, truncation=True, return_tensors="pt")
            model(**batch.to(run.device))

    return _texts_per_s(run, all_texts, len(texts))


def start_up(run: Run) -> Figures:
    """What the service says of its device when it starts."""
    with _running(Engine.start(run.settings, SentimentHead())) as started:
        report = started.model.notes.device
        assert report
        return {**report.model_dump(), "max_batch_tokens": started.max_batch_tokens}


def recall(run: Run) -> Figures:
    """Macro recall of the bundled model, whose weights are real, in each precision."""
    figures: Figures = {}
    for precision in ["float32"] if run.is_dry else ["float32", "float16", "bfloat16"]:
        settings = load_settings(
            ClassifierSettings, model="bundled", device=run.device.split(":")[0], precision=precision
        )
        with _running(Engine.start(settings, SentimentHead())) as started:
            answer = started.run(run.texts, MAX_TOKENS)
            guesses = [prediction.label for prediction in answer.predictions]
            forward = started.model.forward_name
        expected = [labelled.sentiment for labelled in run.labelled]
        total = Counter(expected)
        right = Counter(label for label, guess in zip(expected, guesses, strict=True) if label == guess)
        recalls = [right[label] / total[label] for label in total]
        figures[precision] = {"macro_recall": sum(recalls) / len(recalls), "forward": forward}
    return figures


def out_of_memory(run: Run) -> Figures:
    """Whether texts are answered rightly when the device's memory is nearly full; dry, when two passes say it is."""
    texts = list(islice(cycle(run.texts), 8 if run.is_dry else 8192))
    with _running(Engine.start(run.settings, SentimentHead())) as started:
        before = started.run(texts, MAX_TOKENS).predictions
        budget = started.max_batch_tokens
        with _little_memory(run, started):
            after = started.run(texts, MAX_TOKENS).predictions
        largest = max(abs(one.confidence - other.confidence) for one, other in zip(before, after, strict=True))
        return {"budget": budget, "budget_after": started.max_batch_tokens, "max_difference": largest}


@contextmanager
def _little_memory(run: Run, started: Engine) -> Iterator[None]:
    if run.is_dry:
        forward: Any = started.model.forward
        logits, refusals = forward.logits, iter(range(2))

        def refusing(rows: Any) -> torch.Tensor:
            if next(refusals, None) is not None:
                raise torch.OutOfMemoryError("as a GPU would")
            result: torch.Tensor = logits(rows)
            return result

        forward.logits = refusing
        yield
        return
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    filling = torch.empty(max(0, free - 96 * 2**20), dtype=torch.uint8, device=run.device)
    yield
    del filling


def lost_device(run: Run) -> Figures:
    """How a process ends whose device is lost: in a child, for nothing cures it."""
    child = [sys.executable, "-m", "tools.check_gpu.service", "dry" if run.is_dry else "gpu"]
    ended = subprocess.run(child, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    figures: Figures = {"exit_code": ended.returncode, "expected": LOST_DEVICE_EXIT_CODE}
    return figures if ended.returncode == LOST_DEVICE_EXIT_CODE else figures | {"error": ended.stderr[-500:]}


def lose_device(run: Run) -> None:
    """Poison the device's context while the engine serves from it; dry, say that it is."""
    settings = load_settings(ClassifierSettings, model="bundled", device=run.device.split(":")[0])
    started = Engine.start(settings, SentimentHead(), on_device_lost=lambda: os._exit(LOST_DEVICE_EXIT_CODE))
    started.run(["fine"], MAX_TOKENS)
    if run.is_dry:
        forward: Any = started.model.forward

        def lost(rows: Any) -> torch.Tensor:
            raise DeviceLostError("as a GPU would")

        forward.logits = lost
    else:
        # An index out of range is an assertion on the device, and ends every use of it by this process.
        torch.ones(1, device=run.device).index_select(0, torch.tensor([7], device=run.device))
        # Not before a pass that a stream of the engine's own might end first.
        with suppress(RuntimeError):
            run.synchronize()
    started.run(["lost"], MAX_TOKENS)


def soak(run: Run) -> Figures:
    """Mixed requests for a minute: whether speed and memory stay, and nothing fails."""
    workload = WORKLOADS["mixed-8x100"]
    requests = _requests(run, workload)
    part_s = (DRY_SOAK_S if run.is_dry else SOAK_S) / SOAK_PARTS
    figures: Figures = {"texts_per_s": [], "memory_gib": []}
    with _running(Engine.start(run.settings, SentimentHead())) as started:
        for _ in range(SOAK_PARTS):
            figures["texts_per_s"].append(_drive(started, requests, 2 if run.is_dry else workload.clients, part_s))
            figures["memory_gib"].append(started.model.memory_gib())
    return figures


if __name__ == "__main__":
    try:
        lose_device(Run(is_dry=sys.argv[1] == "dry"))
    except BatchInferenceError:
        # The engine ends the process, from another thread.
        time.sleep(30)
