"""Texts to measure with and to test on: the repository's own or, where a file of real tweets lies beside it, those."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
OWN_SHORT_TEXTS = ROOT / "texts" / "short.tsv"
OWN_LONG_TEXTS = ROOT / "texts" / "long.tsv"
REAL_TWEETS = ROOT.parent / "shared" / "data" / "tweeteval-val.tsv"
"""TweetEval's validation split, which may not be passed on and so is no part of the project."""

LONG_TEXT_TOKENS = 400
"""Least tokens of a long text. It ends with the tweet that reaches this, so it stays below the model's 512."""
LONG_TEXT_EVERY = 10


SENTIMENTS = ("NEGATIVE", "NEUTRAL", "POSITIVE")


@dataclass(frozen=True)
class LabelledText:
    """A tweet and what people said its sentiment is."""

    sentiment: str
    text: str


def read_labelled(path: Path) -> list[LabelledText]:
    """Read a tab-separated file of label (0 negative, 1 neutral, 2 positive) and text; blank texts are left out."""
    rows = (line.split("\t", 1) for line in path.read_text(encoding="utf-8").splitlines())
    return [LabelledText(SENTIMENTS[int(label)], text.strip()) for label, text in rows if text.strip()]


def default_texts() -> Path:
    """The real tweets where they are at hand, else the repository's own texts of the same lengths."""
    return REAL_TWEETS if REAL_TWEETS.exists() else OWN_SHORT_TEXTS


def describe_texts(path: Path, texts: list[LabelledText]) -> str:
    """What a report says about where its texts come from."""
    kinds = {REAL_TWEETS: "real tweets (TweetEval, validation split)", OWN_SHORT_TEXTS: "texts of texts/short.tsv"}
    return f"{len(texts)} {kinds.get(path.resolve(), f'texts of {path.name}')}"


def varied_texts(texts: list[str], count: int) -> list[str]:
    """`count` different texts, always the same: those given, then the first half of one with the second of another.

    Raises:
        ValueError: there are not as many different halves.
    """
    rng = random.Random(3)
    varied = dict.fromkeys(texts)
    for _ in range(20 * count):
        if len(varied) >= count:
            break
        head, tail = (rng.choice(texts).split(" ") for _ in range(2))
        varied.setdefault(" ".join([*head[: -(-len(head) // 2)], *tail[len(tail) // 2 :]]))
    if len(varied) < count:
        raise ValueError(f"{len(texts)} texts are too few to make {count} of them")
    return list(varied)[:count]


def tweet_texts(tweets: list[str], count: int) -> list[str]:
    """The first `count` tweets in a shuffled order, starting over where there are not as many."""
    shuffled = random.Random(1).sample(tweets, len(tweets))
    return list(itertools.islice(itertools.cycle(shuffled), count))


def mixed_texts(tweets: list[str], count: int, tokenizer_file: Path) -> list[str]:
    """Tweets with one text in ten of 400 tokens or more, at random positions."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    rng = random.Random(2)
    texts = tweet_texts(tweets, count)
    for start in range(0, count, LONG_TEXT_EVERY):
        index = min(count - 1, start + rng.randrange(LONG_TEXT_EVERY))
        texts[index] = _long_text(tweets, tokenizer, rng)
    return texts


def _long_text(tweets: list[str], tokenizer: Tokenizer, rng: random.Random) -> str:
    text = rng.choice(tweets)
    while len(tokenizer.encode(text).ids) < LONG_TEXT_TOKENS:
        text += " " + rng.choice(tweets)
    return text
