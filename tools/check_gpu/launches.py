"""What launching a pass costs the host, and what other ways of computing it would bring."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from batch_classification.head import SentimentHead
from batch_inference.device_report import copy_microseconds, launch_microseconds
from batch_inference.forward.packed import PackedClassifier
from batch_inference.forward.padded import PaddedForward
from batch_inference.loading import load_model
from batch_inference.model import EncoderModel
from tools.check_gpu.measuring import ROBERTA_LAYOUT, Figures, Run
from tools.check_gpu.passes import best_kernels

NUM_BUSY_THREADS = 4
"""As many as the platform's instances have cores."""


def launches(run: Run) -> Figures:
    """Microseconds of a launch call by call and as a graph, alone and beside threads that take Python's lock."""
    model = load_model(run.settings.model_copy(update={"forward": "packed"}), SentimentHead())
    figures: Figures = {"choices": model.notes.choices}
    if not run.is_dry:
        figures["copy_us"] = copy_microseconds(model.device)
    for size in [64] if run.is_dry else [256, 1024, 4096]:
        rows = run.rows("tweets", size)
        alone = launch_microseconds(model, rows)
        with _busy_threads(model, 1 if run.is_dry else NUM_BUSY_THREADS):
            beside = launch_microseconds(model, rows)
        for way in alone:
            figures[f"{size}/{way}"] = {"alone_us": alone[way], "beside_busy_threads_us": beside[way]}
    return figures


@contextmanager
def _busy_threads(model: EncoderModel, number: int) -> Iterator[None]:
    """Threads that tokenize and write JSON, as those of requests do."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            model.tokenizer.encode(["Nothing has changed since this morning."] * 20, 512)
            json.loads(json.dumps([{"label": "neutral", "score": 0.5}] * 200))

    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


@torch.inference_mode()
def without_cublaslt(run: Run) -> Figures:
    """Packed passes where biases and GELU are kernels of their own: this process has DISABLE_ADDMM_CUDA_LT=1."""
    packed = PackedClassifier(run.model(run.dtype), best_kernels(run, run.dtype))
    figures: Figures = {}
    for size in [64] if run.is_dry else [1024, 8192]:
        rows = packed.prepare(run.rows("tweets", size))
        figures[f"{size}/packed"] = {"device_ms": run.device_ms(lambda rows=rows: packed.logits(rows))}  # type: ignore
    return figures


@torch.inference_mode()
def compiled(run: Run) -> Figures:
    """transformers' own pass through torch.compile, which needs a C compiler; dry, without it."""
    padded = PaddedForward(run.model(run.dtype), run.upload, ROBERTA_LAYOUT)
    rows = padded.prepare(run.rows("32", 64 if run.is_dry else 8192))
    plain: Callable[[], object] = lambda: padded.logits(rows)  # noqa: E731
    faster = plain if run.is_dry else torch.compile(plain)
    return {
        "transformers": {"device_ms": run.device_ms(plain)},
        "transformers, compiled": {"device_ms": run.device_ms(faster)},
    }
