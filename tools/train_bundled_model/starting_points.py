"""What a training starts from: all-MiniLM-L6-v2, or the model of sentiments."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForSequenceClassification

from tools.train_bundled_model.examples import EMOJI
from tools.train_bundled_model.recipes import Recipe

SPECIAL_TOKENS = ["<s>", "<pad>", "</s>", "<unk>"]
SOURCE_LAYERS = (0, 1, 3, 5)
MIN_PIECE_COUNT = 3


def build_tokenizer(source: Tokenizer, texts: list[str]) -> tuple[PreTrainedTokenizerFast, list[int | None]]:
    """Cut the source's WordPiece vocabulary down to the pieces that the texts use.

    Single characters always stay, so that an unseen word falls into letters and not into `<unk>`.

    Returns:
        The tokenizer, and for each of its ids the id of the same piece in the source (None where there is none).
    """
    counts: Counter[str] = Counter()
    for encoding in source.encode_batch(texts, add_special_tokens=False):
        counts.update(encoding.tokens)
    source_vocab = source.get_vocab()
    pieces = [
        piece
        for piece, _ in sorted(source_vocab.items(), key=lambda item: item[1])
        if counts[piece] >= MIN_PIECE_COUNT or (len(piece.removeprefix("##")) == 1 and piece.isascii())
    ]
    pieces = [piece for piece in pieces if piece not in ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")]
    emoji = [char for char in EMOJI if char not in source_vocab]
    vocab = {piece: index for index, piece in enumerate([*SPECIAL_TOKENS, *pieces, *emoji])}

    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    # Emoji written without a space between them, or glued to a word, are pieces of their own.
    emoji_class = "[" + "".join(emoji) + "]"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pattern=Regex(emoji_class), behavior="isolated"), pre_tokenizers.BertPreTokenizer()]
    )
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", pad_token="<pad>", eos_token="</s>",
        sep_token="</s>", unk_token="<unk>",
    )  # fmt: skip
    bert_names = dict(zip(SPECIAL_TOKENS, ("[CLS]", "[PAD]", "[SEP]", "[UNK]"), strict=True))
    return fast, [source_vocab.get(bert_names.get(piece, piece)) for piece in vocab]


def build_model(
    weights: dict[str, torch.Tensor], source_ids: list[int | None], labels: tuple[str, ...]
) -> RobertaForSequenceClassification:
    """A RoBERTa classifier that starts from the source's BERT weights; only its head is new."""
    config = RobertaConfig(
        vocab_size=len(source_ids), hidden_size=384, num_hidden_layers=len(SOURCE_LAYERS), num_attention_heads=12,
        intermediate_size=1536, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-12,
        bos_token_id=0, pad_token_id=1, eos_token_id=2,
        **label_maps(labels),
    )  # fmt: skip
    model = RobertaForSequenceClassification(config)
    state = model.state_dict()
    words = weights["embeddings.word_embeddings.weight"]
    embedding = state["roberta.embeddings.word_embeddings.weight"]
    for new_id, source_id in enumerate(source_ids):
        if source_id is not None:
            embedding[new_id] = words[source_id]
    # RoBERTa counts positions from pad_token_id + 1, BERT from 0.
    state["roberta.embeddings.position_embeddings.weight"][2:514] = weights["embeddings.position_embeddings.weight"]
    state["roberta.embeddings.token_type_embeddings.weight"][0] = weights["embeddings.token_type_embeddings.weight"][0]
    for name in ("LayerNorm.weight", "LayerNorm.bias"):
        state[f"roberta.embeddings.{name}"].copy_(weights[f"embeddings.{name}"])
    for new_layer, source_layer in enumerate(SOURCE_LAYERS):
        for name, tensor in weights.items():
            prefix = f"encoder.layer.{source_layer}."
            if name.startswith(prefix):
                state[f"roberta.encoder.layer.{new_layer}.{name.removeprefix(prefix)}"].copy_(tensor)
    model.load_state_dict(state)
    return model


def build_further(folder: Path, recipe: Recipe) -> RobertaForSequenceClassification:
    """The classifier in `folder` with a new layer of outputs, its lower layers frozen."""
    model = RobertaForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, num_labels=len(recipe.labels), ignore_mismatched_sizes=True,
        **label_maps(recipe.labels),
    )  # fmt: skip
    torch.nn.init.normal_(model.classifier.out_proj.weight, std=0.02)
    torch.nn.init.zeros_(model.classifier.out_proj.bias)
    model.roberta.embeddings.requires_grad_(False)
    model.roberta.encoder.layer[: recipe.frozen_layers].requires_grad_(False)
    return model


def label_maps(labels: tuple[str, ...]) -> dict[str, dict[Any, Any]]:
    """What a model's configuration says of its labels."""
    return {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}


def name_emoji(model: RobertaForSequenceClassification, tokenizer: PreTrainedTokenizerFast) -> None:
    """Start each emoji's embedding from the mean embedding of the pieces of its Unicode name."""
    embedding = model.roberta.embeddings.word_embeddings.weight.data
    vocab = tokenizer.get_vocab()
    for char in EMOJI:
        name_ids = tokenizer(unicodedata.name(char), add_special_tokens=False).input_ids
        if name_ids and char in vocab:
            embedding[vocab[char]] = embedding[name_ids].mean(dim=0)
