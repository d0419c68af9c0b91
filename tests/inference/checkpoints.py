"""Small checkpoints with random weights, of many kinds, each made in well under a second."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertweetTokenizer,
    GPT2Tokenizer,
    XLNetTokenizer,
)

from batch_classification.settings import BUNDLED_MODEL_PATH
from batch_inference.sample_texts import SAMPLE_TEXTS

LABELS = {0: "negative", 1: "neutral", 2: "positive"}

SMALL: dict[str, Any] = {
    "vocab_size": 14587,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 514,
    "pad_token_id": 1,
    # Wide, so that texts get answers far apart, whatever is wrong with one of them.
    "initializer_range": 0.5,
}
"""For the bundled model's tokenizer."""

OTHER_SIZES: dict[str, dict[str, Any]] = {
    "deberta": {"pos_att_type": ["c2p", "p2c"], "relative_attention": True, "pooler_hidden_size": 32},
    "deberta-v2": {"pos_att_type": ["c2p", "p2c"], "relative_attention": True, "pooler_hidden_size": 32},
    "longformer": {"attention_window": [16, 16]},
    "modernbert": {"max_position_embeddings": 512},
    "bert": {"type_vocab_size": 2},
    "xlnet": {"d_model": 32, "d_inner": 64, "n_layer": 2, "n_head": 2, "ff_activation": "gelu"},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512, "pad_token_id": None},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "initializer_range": 0.5},
}


def save_model(folder: Path, kind: str, **config: Any) -> Any:
    """A classifier of an architecture, by its name in transformers, and no tokenizer; gives the model."""
    torch.manual_seed(0)
    sizes = SMALL | OTHER_SIZES.get(kind, {}) | {"id2label": LABELS} | config
    if kind == "xlnet":
        # It has no positions to limit, and refuses the setting.
        del sizes["max_position_embeddings"]
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
    AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH).save_pretrained(folder)
    return folder


def _pieces() -> list[str]:
    return sorted({word for text in SAMPLE_TEXTS for word in text.split()} | {c for t in SAMPLE_TEXTS for c in t})


def save_vocab_txt_only(folder: Path) -> Path:
    """BERT as Google published it: `vocab.txt`, and no other file of a tokenizer."""
    characters = sorted({character for text in SAMPLE_TEXTS for character in text.lower() if character.isalnum()})
    words = ["love", "this", "thanks", "the", "##ed", "##s"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *characters, *(f"##{c}" for c in characters)]
    save_model(folder, "bert", vocab_size=len(pieces), pad_token_id=0, max_position_embeddings=512)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return folder


def save_xlnet(folder: Path) -> Path:
    """Pads on the left, ends a row with `<cls>`, whose token type is another."""
    pieces = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>", "▁", *_pieces()]
    tokenizer = XLNetTokenizer(vocab=[(piece, -float(len(pieces) - len(piece))) for piece in pieces])
    save_model(folder, "xlnet", vocab_size=len(pieces), pad_token_id=5)
    tokenizer.save_pretrained(folder)
    return folder


def save_gpt2(folder: Path) -> Path:
    """No pad token, and no special token in a row."""
    tokenizer = GPT2Tokenizer(
        vocab={piece: n for n, piece in enumerate(["<|endoftext|>", *_byte_alphabet()])}, merges=[]
    )
    save_model(folder, "gpt2", vocab_size=len(tokenizer))
    tokenizer.save_pretrained(folder)
    return folder


def _byte_alphabet() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def save_bertweet(folder: Path) -> Path:
    """A tokenizer that there is in Python only."""
    folder.mkdir()
    characters = sorted({character for text in SAMPLE_TEXTS for character in text if not character.isspace()})
    pieces = [*(f"{c}@@" for c in characters), *characters]
    (folder / "vocab.txt").write_text("".join(f"{piece} 1\n" for piece in pieces), encoding="utf-8")
    (folder / "bpe.codes").write_text("#version: 0.2\n", encoding="utf-8")
    tokenizer = BertweetTokenizer(str(folder / "vocab.txt"), str(folder / "bpe.codes"))
    save_model(folder, "roberta", vocab_size=len(tokenizer), tokenizer_class="BertweetTokenizer")
    tokenizer.save_pretrained(folder)
    return folder


def save_sharded(folder: Path) -> Path:
    """Weights in several files."""
    save_checkpoint(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="500KB")
    assert (folder / "model.safetensors.index.json").exists()
    return folder


def save_bin_only(folder: Path) -> Path:
    """Weights in a pickle."""
    save_checkpoint(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


def save_masked_language_model(folder: Path) -> Path:
    """An encoder as it was trained at first: its head is tied to its embeddings, and is no classifier."""
    torch.manual_seed(0)
    config = AutoConfig.for_model("roberta", **SMALL)
    AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH).save_pretrained(folder)
    return folder


def save_without_tokenizer(folder: Path) -> Path:
    """A model alone."""
    save_model(folder, "roberta")
    return folder


def save_half(folder: Path) -> Path:
    """One weight of many is not there."""
    save_checkpoint(folder)
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    del weights["roberta.encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def save_adapter(folder: Path) -> Path:
    """What a training with LoRA leaves."""
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "roberta-base", "r": 8}))
    save_file({"x": torch.zeros(1)}, folder / "adapter_model.safetensors")
    return folder


def save_onnx_only(folder: Path) -> Path:
    """What an export leaves."""
    save_checkpoint(folder)
    (folder / "model.safetensors").rename(folder / "model.onnx")
    return folder


def save_empty(folder: Path) -> Path:
    """Nothing at all."""
    folder.mkdir()
    return folder


def save_without_config(folder: Path) -> Path:
    """A tokenizer alone."""
    AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH).save_pretrained(folder)
    return folder


def save_cut_short(folder: Path) -> Path:
    """Weights whose download broke off."""
    save_checkpoint(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    return folder


Make = Callable[[Path], Path]


def of_kind(kind: str, **config: Any) -> Make:
    """`save_checkpoint` with these arguments."""
    return lambda folder: save_checkpoint(folder, kind, **config)


def copy_of(source: Path, folder: Path) -> Path:
    """A checkpoint that may be changed."""
    return Path(shutil.copytree(source, folder))
