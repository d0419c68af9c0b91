"""OpenVINO; in int8 quantised by NNCF for transformers, its ranges from a calibration on a few texts."""

from __future__ import annotations

from pathlib import Path

import nncf
import numpy as np
import openvino
import torch
from runtime_worker import Forward, load_torch, padded, serve
from tokenizers import Tokenizer

CALIBRATION = [
    "I love this, it is wonderful!",
    "This is terrible, I hate it.",
    "The meeting is on Monday at ten.",
    "@user do you think that it will rain tomorrow? http",
    "so happy 😀 best day ever!!! #blessed",
    "worst service ever. never again.",
] * 16


def load(checkpoint: Path, is_int8: bool, threads: int) -> Forward:
    """Convert, quantise if asked to, compile."""
    rows = torch.full((2, 16), 5)
    model = openvino.convert_model(load_torch(checkpoint), example_input=(rows, torch.ones_like(rows)))
    if is_int8:
        tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
        samples = [padded([tokenizer.encode(text).ids], 1) for text in CALIBRATION]
        model = nncf.quantize(
            model, nncf.Dataset(samples, lambda sample: sample), model_type=nncf.ModelType.TRANSFORMER
        )
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    return lambda ids, mask: np.asarray(compiled((ids, mask))[0])


serve(load)
