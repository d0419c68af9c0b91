"""Infinity with its onnxruntime engine (`--engine optimum`), on the checkpoint exported beside itself.

That engine gives transformers' pipeline one text at a time and cuts none off, so a text that is too long is an error,
its own warm-up's among them.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from runtime_worker import export_onnx

CHECKPOINT = Path(os.environ["BENCH_MODEL"])
EXPORTED = CHECKPOINT.with_name(f"{CHECKPOINT.name}-onnx")


def export() -> None:
    """The checkpoint as Infinity looks for it: a folder with `model.onnx`."""
    unfinished = EXPORTED.with_suffix(".unfinished")
    shutil.copytree(CHECKPOINT, unfinished, ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True)
    export_onnx(CHECKPOINT, unfinished / "model.onnx")
    unfinished.rename(EXPORTED)


if not EXPORTED.exists():
    export()
program = str(Path(sys.executable).with_name("infinity_emb"))
# Infinity hands optimum a file's path where that wants a name, so the folder is made the current one.
os.chdir(EXPORTED)
arguments = ["v2", "--model-id", ".", "--served-model-name", "sentiment", "--engine", "optimum"]
arguments += ["--device", "cpu", "--port", os.environ["BENCH_PORT"], "--host", "127.0.0.1", "--log-level", "warning"]
arguments += ["--no-model-warmup"]
os.execv(program, [program, *arguments, "--batch-size", os.environ["BENCH_CHUNK_SIZE"]])
