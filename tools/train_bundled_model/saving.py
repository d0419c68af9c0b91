"""How a bundled model is stored."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast, RobertaForSequenceClassification


def save_small(model: RobertaForSequenceClassification, folder: Path) -> None:
    """Save a model, with matrices in float8_e4m3fn, whose range these weights are in, and vectors in float16."""
    weights = {
        name: tensor.to(torch.float8_e4m3fn if tensor.ndim > 1 else torch.float16)
        for name, tensor in model.state_dict().items()
    }
    model.half().save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save under the class name that transformers 4 and 5 both know, without the truncation used in training."""
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(folder)
    config_path = folder / "tokenizer_config.json"
    config = json.loads(config_path.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    config.pop("backend", None)
    config_path.write_text(json.dumps(config, indent=2) + "\n")
