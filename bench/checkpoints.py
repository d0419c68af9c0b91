"""The models that are measured: the bundled one, and RoBERTa-base at full size with random weights."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer

from rehearsal.texts import default_texts

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "models" / "tiny-sentiment"
CACHE = ROOT / "bench" / ".cache"

MAX_LENGTH = 512
MODELS = ("bundled", "roberta-base")


def checkpoint(model: str) -> Path:
    """The folder of a model by its name in tables and options, made first if it is not there."""
    folder = CACHE / model
    folder.mkdir(parents=True, exist_ok=True)
    if model == "bundled":
        for name in ("config.json", "model.safetensors"):
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(BUNDLED / name)
    elif not (folder / "model.safetensors").exists():
        _save_random_roberta_base(folder)
    _save_tokenizer(folder)
    return folder


def _save_tokenizer(folder: Path) -> None:
    """The bundled tokenizer for both models: the same token ids, all of them within RoBERTa's vocabulary.

    It declares the model's limit, which the bundled files leave to the configuration: Infinity looks for it here only
    and fails on its first long text without. A truncation that the files kept from the training is dropped: every arm
    says for itself how much of a text it wants.
    """
    config = json.loads((BUNDLED / "tokenizer_config.json").read_text()) | {"model_max_length": MAX_LENGTH}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
    tokenizer = Tokenizer.from_file(str(BUNDLED / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))


def _save_random_roberta_base(folder: Path) -> None:
    """Speed does not depend on the values of weights, so random ones need no download."""
    import torch
    from transformers import RobertaConfig, RobertaForSequenceClassification

    labels = ("negative", "neutral", "positive")
    config = RobertaConfig(
        vocab_size=50265,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    torch.manual_seed(1)
    RobertaForSequenceClassification(config).save_pretrained(folder)


def train_roberta_tokenizer(folder: Path) -> Path:
    """A folder with a tokenizer of RoBERTa's kind and size, byte-level pairs, trained on the texts at hand, once."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaTokenizer

    if not (folder / "tokenizer.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        texts = (line for file in default_texts().parent.glob("*.tsv") for line in file.open(encoding="utf-8"))
        trained = ByteLevelBPETokenizer()
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        trained.train_from_iterator(
            texts, vocab_size=50265, min_frequency=2, show_progress=False, special_tokens=special
        )
        trained.save_model(str(folder))
        vocabulary, merges = str(folder / "vocab.json"), str(folder / "merges.txt")
        RobertaTokenizer(vocab=vocabulary, merges=merges).save_pretrained(folder)
    return folder
