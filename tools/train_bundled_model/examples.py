"""Labelled texts, as training and validation see them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from batch_classification.masking import mask_handles_and_links

EMOTICONS = {
    ":-)": "🙂😊😀👍", ":)": "🙂😊😃👍", ":D": "😄😁😃😆", "=)": "😊😀🙂👏", ";)": "😉😏😜😋", "<3": "❤😍🥰😘",
    ":-(": "😞😔😢👎", ":(": "😢😭😡😠", ":'(": "😭😢😥💔", ":/": "😕😒🙄😑", "xD": "😂🤣😆😹",
}  # fmt: skip
"""Emoticons and emoji that say the same. The training texts hold no emoji (they were stripped), yet users send them."""

EMOJI = [*map(chr, range(0x1F600, 0x1F650)), *map(chr, range(0x1F910, 0x1F930)), "🥰", "❤", "💔", "👍", "👎", "👏"]

ARTEFACTS = {"IIIMAGEEELLLINKKK": "http", "LLLINKKK": "http", "``": '"', "''": '"'}
"""Leftovers of the preprocessing of one corpus of SemEval's, and what the author had written."""


@dataclass(frozen=True)
class Example:
    """One labelled text: `label` is an index into the recipe's labels."""

    label: int
    text: str


def read_examples(path: Path, artefacts: Mapping[str, str]) -> list[Example]:
    """Read `label<TAB>text` lines, masked the way the service masks what the model sees."""
    examples = []
    for line in path.read_text(encoding="utf-8").splitlines():
        label, text = line.split("\t", 1)
        for artefact, meant in artefacts.items():
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


@dataclass
class Batch:
    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor


def make_batches(
    examples: list[Example],
    tokenizer: PreTrainedTokenizerFast,
    batch_size: int,
    rng: random.Random | None,
    max_tokens: int = 128,
) -> Iterator[Batch]:
    """Batches of texts of like length; shuffled within windows of 50 batches, and as batches, where `rng` is given."""
    encoded = tokenizer([e.text for e in examples], truncation=True, max_length=max_tokens).input_ids
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
