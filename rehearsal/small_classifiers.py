"""Classifiers of any architecture with a few random weights, each made in well under a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from batch_classification.settings import BUNDLED_MODEL_PATH

LABELS = {0: "negative", 1: "neutral", 2: "positive"}

SMALL: dict[str, Any] = {
    "vocab_size": 14587,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "pad_token_id": 1,
    # Wide, so that texts get answers far apart, whatever is wrong with one of them.
    "initializer_range": 0.5,
}
"""For the bundled model's tokenizer."""

POSITIONS: dict[str, int | None] = {
    "roberta": 514,
    "xlm-roberta": 514,
    "camembert": 514,
    "bert": 512,
    "distilbert": 512,
    "electra": 512,
    "albert": 512,
    "mpnet": 514,
    "deberta": 512,
    "deberta-v2": 512,
    "modernbert": 8192,
    "longformer": 4098,
    "data2vec-text": 514,
    "roberta-prelayernorm": 514,
    "ibert": 514,
    "xlnet": None,
    "gpt2": 1024,
    "fnet": 512,
}
"""By architecture, those of its best-known checkpoint; None where there is no such limit."""

OTHER_SIZES: dict[str, dict[str, Any]] = {
    "deberta": {"pos_att_type": ["c2p", "p2c"], "relative_attention": True, "pooler_hidden_size": 32},
    "deberta-v2": {"pos_att_type": ["c2p", "p2c"], "relative_attention": True, "pooler_hidden_size": 32},
    "longformer": {"attention_window": [16, 16]},
    "bert": {"type_vocab_size": 2},
    "xlnet": {"d_model": 32, "d_inner": 64, "n_layer": 2, "n_head": 2, "ff_activation": "gelu"},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "pad_token_id": None},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
}


def save_model(folder: Path, kind: str, **config: Any) -> Any:
    """A classifier of an architecture, by its name in transformers, and no tokenizer; gives the model."""
    torch.manual_seed(0)
    sizes = SMALL | OTHER_SIZES.get(kind, {}) | {"id2label": LABELS} | config
    # XLNet refuses to be given any.
    if (positions := POSITIONS[kind]) is not None:
        sizes = {"max_position_embeddings": positions} | sizes
    sizes["label2id"] = {label: index for index, label in sizes["id2label"].items()}
    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, **sizes))
    # Some of them start with a head of zeros.
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "classif" in name or "score" in name:
                weight.normal_(std=0.5)
    model.save_pretrained(folder)
    return model


def save_checkpoint(folder: Path, kind: str = "roberta", **config: Any) -> Path:
    """The same with the bundled model's tokenizer; gives the folder."""
    save_model(folder, kind, **config)
    # XLNet's answer comes from the last token.
    side = "left" if kind == "xlnet" else "right"
    AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH, padding_side=side).save_pretrained(folder)
    return folder
