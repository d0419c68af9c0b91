"""The GPU's ceilings, and forward passes against them: attention, correctness, time by size, two in flight."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from batch_classification.head import SentimentHead
from batch_inference.budget import Budget
from batch_inference.forward.attention_cuda import attend_efficient, attend_flash, attend_row_by_row
from batch_inference.forward.kernels_cuda import Attend, CudaKernels
from batch_inference.forward.packed import PackedClassifier
from batch_inference.forward.padded import PaddedForward
from batch_inference.loading import load_model
from batch_inference.planner import PassCost
from batch_inference.scheduled_model import ScheduledModel
from batch_inference.scheduler import Scheduler
from batch_inference.text_groups import TextGroup
from batch_inference.token_rows import TokenRows
from bench.checkpoints import BUNDLED
from tools.check_gpu.measuring import ROBERTA_LAYOUT, Figures, Run

HEADS, HEAD_SIZE, HIDDEN, INNER, LAYERS = 12, 64, 768, 3072, 12
"""RoBERTa-base's."""

Pass = Callable[[], torch.Tensor]


def machine(run: Run) -> Figures:
    """What the figures were measured on."""
    figures: Figures = {
        "is_dry": run.is_dry,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    if run.is_dry:
        return figures
    properties = torch.cuda.get_device_properties(0)
    query = "driver_version,clocks.sm,clocks.max.sm,power.limit,temperature.gpu"
    smi = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    return figures | {
        "gpu": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory_gib": properties.total_memory / 2**30,
        query: subprocess.run(smi, capture_output=True, text=True, check=False).stdout.strip(),
    }


@torch.inference_mode()
def ceilings(run: Run) -> Figures:
    """What the products of the model's shapes reach alone, and what memory does."""
    figures: Figures = {}
    for dtype in [run.dtype] if run.is_dry else [torch.float16, torch.bfloat16, torch.float32]:
        for rows in [64] if run.is_dry else [512, 2048, 8192, 32768]:
            ms = run.device_ms(_products(run, rows, dtype))
            tflops = 2 * rows * (4 * HIDDEN**2 + 2 * HIDDEN * INNER) / ms / 1e9
            figures[f"{_name(dtype)}/{rows}"] = {"ms_a_layer": ms, "tflop_per_s": tflops}
    if not run.is_dry:
        source = torch.empty(2**30, dtype=torch.uint8, device=run.device)
        target = torch.empty_like(source)
        figures["copy_gb_per_s"] = 2 * 2**30 / run.device_ms(lambda: target.copy_(source)) / 1e6
    return figures


def _products(run: Run, rows: int, dtype: torch.dtype) -> Callable[[], object]:
    shapes = ((HIDDEN, 3 * HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, INNER), (INNER, HIDDEN))
    layers = [
        tuple(
            torch.randn(shape, device=run.device, dtype=dtype)
            for shape in ((outputs,), (rows, inputs), (outputs, inputs))
        )
        for inputs, outputs in shapes
    ]
    # Weights lie as the pass has them, which is another kernel than the other way round.
    return lambda: [torch.addmm(bias, inputs, weight.t()) for bias, inputs, weight in layers]


def attentions(run: Run, dtype: torch.dtype) -> dict[str, Attend]:
    """Those to compare in this precision. FlashAttention has none for float32."""
    if run.is_dry:
        return {"row by row": attend_row_by_row}
    compared: dict[str, Attend] = {"efficient": attend_efficient}
    if dtype != torch.float32:
        compared["flash"] = attend_flash
    return compared


@torch.inference_mode()
def attention(run: Run) -> Figures:
    """A layer's attention by the length of rows, and how far it is from float32."""
    figures: Figures = {}
    lengths = ["16"] if run.is_dry else ["16", "32", "64", "96", "128", "192", "256", "512"]
    for kind in ["tweets", "mixed", *lengths]:
        rows = run.rows(kind, 128 if run.is_dry else 8192)
        ends = torch.from_numpy(rows.lengths).cumsum(0)
        starts = torch.cat([torch.zeros(1), ends]).to(run.device, torch.int32)
        shape = (rows.num_tokens, 3, HEADS, HEAD_SIZE)
        queries, keys, values = torch.randn(shape, device=run.device, dtype=run.dtype).unbind(1)
        longest = int(rows.lengths.max())
        expected = attend_row_by_row(queries, keys, values, starts, longest).float()
        for name, attend in attentions(run, run.dtype).items():
            error = (attend(queries, keys, values, starts, longest).float() - expected).abs().max().item()
            call = _bound(attend, queries, keys, values, starts, longest)
            figures[f"{kind}/{name}"] = {"us": 1000 * run.device_ms(call), "max_error": error}
    return figures


def _bound(call: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: call(*arguments)


def best_kernels(run: Run, dtype: torch.dtype) -> CudaKernels:
    """Those of the packed pass."""
    return CudaKernels(run.upload, next(iter(attentions(run, dtype).values())))


def _packed(run: Run, dtype: torch.dtype, folder: Path | None = None) -> dict[str, PackedClassifier]:
    """The packed pass, and the same without each of the parts that have to prove worth their lines."""
    model = run.model(dtype, folder=folder)
    first, *others = attentions(run, dtype).items()
    variants = {
        "packed": CudaKernels(run.upload, first[1]),
        "packed, biases not folded": CudaKernels(run.upload, first[1], has_folded_biases=False),
        "packed, GELU apart": CudaKernels(run.upload, first[1], has_fused_gelu=False),
    }
    variants |= {f"packed, {name} attention": CudaKernels(run.upload, attend) for name, attend in others}
    return {name: PackedClassifier(model, kernels) for name, kernels in variants.items()}


@torch.inference_mode()
def correctness(run: Run) -> Figures:
    """How far the bundled model, whose weights are real, is from transformers in float32 on the CPU, text by text."""
    rows = [*run.tweets[: 6 if run.is_dry else 60], [0, 2], *run.rows("mixed", 64 if run.is_dry else 2048).tolists()]
    plain = run.model(torch.float32, "cpu", BUNDLED)
    expected = torch.cat([plain(input_ids=torch.tensor([row])).logits for row in rows]).softmax(-1)
    figures: Figures = {}
    passes: dict[str, Any] = {
        **_packed(run, run.dtype, BUNDLED),
        "transformers": PaddedForward(run.model(run.dtype, folder=BUNDLED), run.upload, ROBERTA_LAYOUT),
    }
    for name, forward in passes.items():
        got = forward.logits(forward.prepare(TokenRows.of(rows))).float().softmax(-1).cpu()
        alone = [forward.logits(forward.prepare(TokenRows.of([row]))).float().softmax(-1).cpu() for row in rows[:10]]
        figures[name] = {
            "max_difference": (got - expected).abs().max().item(),
            "batched_against_alone": (got[:10] - torch.cat(alone)).abs().max().item(),
            "labels_that_differ": int((got.argmax(-1) != expected.argmax(-1)).sum()),
            "is_finite": bool(torch.isfinite(got).all()),
        }
    return figures


@torch.inference_mode()
def passes(run: Run) -> Figures:
    """Passes of all sizes, packed against transformers' padded one, and in each precision."""
    figures: Figures = {}
    sizes = [64] if run.is_dry else [32, 128, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]
    for dtype in [run.dtype] if run.is_dry else [torch.float16, torch.bfloat16, torch.float32]:
        packed = _packed(run, dtype)
        padded = PaddedForward(run.model(dtype), run.upload, ROBERTA_LAYOUT)
        is_main = dtype == run.dtype
        for kind in ("tweets", "512") if is_main else ("tweets",):
            for size in sizes if is_main else [8192]:
                rows = run.rows(kind, size)
                calls = {name: _bound(one.logits, one.prepare(rows)) for name, one in packed.items()}
                if size <= 32768:
                    calls |= _padded_calls(run, padded, rows, dtype)
                for name, call in calls.items():
                    ms = run.device_ms(call, 8 if size > 8192 else 20)
                    figures[f"{_name(dtype)}/{kind}/{size}/{name}"] = {
                        "device_ms": ms,
                        "host_ms": run.host_ms(call, 5),
                        "tokens_per_s": 1000 * rows.num_tokens / ms,
                    }
    return figures


def _padded_calls(run: Run, padded: PaddedForward, rows: TokenRows, dtype: torch.dtype) -> dict[str, Pass]:
    prepared = padded.prepare(rows)

    def under_autocast() -> torch.Tensor:
        with torch.autocast(run.device.split(":")[0], dtype, enabled=dtype != torch.float32):
            return padded.logits(prepared)

    return {"transformers": lambda: padded.logits(prepared), "transformers, autocast": under_autocast}


def depth(run: Run) -> Figures:
    """Tokens per second with one pass in flight and with two, through the scheduler and the model's own streams."""
    figures: Figures = {}
    model = load_model(run.settings.model_copy(update={"forward": "packed"}), SentimentHead())
    for size in [64] if run.is_dry else [2048, 8192, 16384, 32768]:
        rows = run.rows("tweets", size)
        num_passes = 3 if run.is_dry else 40
        for in_flight in (1, 2):
            cost = PassCost(rows.num_tokens, 0, is_padded=False, is_by_arrival=True)
            models = {"": ScheduledModel(model, Budget(cost))}
            scheduler = Scheduler(models, lambda record: None, max_in_flight=in_flight)
            _answered(scheduler, rows, 2)
            started_at = time.perf_counter()
            _answered(scheduler, rows, num_passes)
            seconds = time.perf_counter() - started_at
            scheduler.close()
            figures[f"{size}/{in_flight}"] = {"tokens_per_s": num_passes * rows.num_tokens / seconds}
    return figures


def _answered(scheduler: Scheduler, rows: TokenRows, num_passes: int) -> None:
    groups = [TextGroup(rows) for _ in range(num_passes)]
    scheduler.submit(groups)
    for group in groups:
        group.future.result()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
