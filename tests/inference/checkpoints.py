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
from rehearsal.random_checkpoints import byte_tokenizer
from rehearsal.small_classifiers import SMALL, save_checkpoint, save_model


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


def save_in_half(folder: Path) -> Path:
    """Weights stored in bfloat16."""
    save_checkpoint(folder)
    AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    return folder


def with_tokenizer(change: Callable[[Any], object], **config: Any) -> Make:
    """A checkpoint whose tokenizer's `tokenizer.json` was changed."""

    def make(folder: Path) -> Path:
        save_checkpoint(folder, **config)
        file = folder / "tokenizer.json"
        state = json.loads(file.read_text(encoding="utf-8"))
        change(state)
        file.write_text(json.dumps(state), encoding="utf-8")
        return folder

    return make


def pads_and_truncates(state: Any) -> None:
    """As `tokenizer.json` has it after a training to a fixed length."""
    state["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    padding = {"pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>", "pad_to_multiple_of": None}
    state["padding"] = {"strategy": {"Fixed": 64}, "direction": "Right", **padding}


def save_with_markers(folder: Path) -> Path:
    """A training added special tokens, for texts to hold."""
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[E1]", "[/E1]"]})
    tokenizer.add_tokens(["[OTHER]"], special_tokens=True)
    save_model(folder, "roberta", vocab_size=len(tokenizer))
    tokenizer.save_pretrained(folder)
    return folder


def save_tokens_without_embedding(folder: Path) -> Path:
    """A token was added, and the model does not know."""
    save_model(folder, "roberta")
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH)
    tokenizer.add_tokens(["[URL]"])
    tokenizer.save_pretrained(folder)
    return folder


def save_pad_without_embedding(folder: Path) -> Path:
    """The same of a token that no text can spell."""
    save_model(folder, "gpt2")
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH)
    tokenizer.add_special_tokens({"pad_token": "[NOTHING]"})
    tokenizer.save_pretrained(folder)
    return folder


def save_with_markers_among_bytes(folder: Path) -> Path:
    """The same of byte-level BPE, which tiktoken encodes if nothing was added."""
    tokenizer = byte_tokenizer(is_chat=False)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[E1]", "[/E1]"]})
    save_model(folder, "bert", vocab_size=len(tokenizer), pad_token_id=0)
    tokenizer.save_pretrained(folder)
    return folder


def save_with_token_types(folder: Path) -> Path:
    """Its texts are of the second type, as the second half of a pair is."""
    save_checkpoint(folder, "bert")
    for name, change in (("tokenizer.json", _second_types), ("tokenizer_config.json", _asks_for_types)):
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        change(content)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def _second_types(state: Any) -> None:
    for part in state["post_processor"]["single"]:
        for kind in part.values():
            kind["type_id"] = 0 if kind["id"] == "<s>" else 1


def _asks_for_types(config: Any) -> None:
    config["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]


def save_cut_at_the_start(folder: Path) -> Path:
    """Of a long text the model was trained on the end."""
    save_model(folder, "roberta")
    AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH, truncation_side="left").save_pretrained(folder)
    return folder


def save_with_config(folder: Path, **config: Any) -> Path:
    """A checkpoint whose config.json was edited by hand."""
    save_checkpoint(folder)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | config), encoding="utf-8")
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


def save_without_vocabulary(folder: Path) -> Path:
    """A tokenizer's settings are there, its words are not."""
    save_model(folder, "roberta")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "RobertaTokenizer"}))
    return folder


def save_sentencepiece_only(folder: Path) -> Path:
    """ALBERT as Google published it."""
    save_model(folder, "albert")
    (folder / "spiece.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02")
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
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "roberta-base", "r": 8}))
    save_file({"x": torch.zeros(1)}, folder / "adapter_model.safetensors")
    return folder


def save_beside_adapter(folder: Path) -> Path:
    """A model, and an adapter that may be merged into it, or not."""
    save_checkpoint(folder)
    save_adapter(folder)
    return folder


def save_in_folders(folder: Path) -> Path:
    """What a training leaves if nobody saves its best."""
    save_checkpoint(folder / "checkpoint-500")
    return folder


def save_shard_missing(folder: Path) -> Path:
    """The index names a file whose download was forgotten."""
    save_sharded(folder)
    sorted(folder.glob("model-*.safetensors"))[-1].unlink()
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
