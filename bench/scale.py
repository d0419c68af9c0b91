"""What is measured once on the bundled model: whether many texts cost more than few, and what int8 loses."""

from __future__ import annotations

import statistics
from collections import Counter

from bench.arms import Arm, InProcessArm
from rehearsal.texts import SENTIMENTS, LabelledText, tweet_texts

CLIENTS = 8
TEXTS_PER_REQUEST = 100
FEW_TEXTS = 1000
FEW_REPEATS = 3


def measure_scale(engine: InProcessArm, tweets: list[str], many_texts: int) -> dict[str, float]:
    """Texts per second and resident memory of the engine at 1,000 texts and at many, in 100-text requests."""
    few = statistics.median(_texts_per_s(engine, tweets, FEW_TEXTS) for _ in range(FEW_REPEATS))
    before_mib = engine.rss_mib()
    many = _texts_per_s(engine, tweets, many_texts)
    return {
        "few_texts": FEW_TEXTS,
        "few_texts_per_s": few,
        "many_texts": many_texts,
        "many_texts_per_s": many,
        "rss_before_mib": before_mib,
        "rss_after_mib": engine.rss_mib(),
    }


def _texts_per_s(engine: InProcessArm, tweets: list[str], count: int) -> float:
    # The same texts over and over: the texts themselves would take memory, and the engine keeps none of them.
    texts = tweet_texts(tweets, FEW_TEXTS)
    requests = [texts[start : start + TEXTS_PER_REQUEST] for start in range(0, FEW_TEXTS, TEXTS_PER_REQUEST)]
    return count / engine.measure(requests, CLIENTS, cycles=count // FEW_TEXTS).elapsed_s


def measure_recall(arm: Arm, texts: list[LabelledText]) -> float:
    """Mean over the three sentiments of the share of their texts that the arm recognises."""
    requests = [
        [labelled.text for labelled in texts[start : start + TEXTS_PER_REQUEST]]
        for start in range(0, len(texts), TEXTS_PER_REQUEST)
    ]
    guesses = arm.measure(requests, CLIENTS).labels
    total = Counter(labelled.sentiment for labelled in texts)
    right = Counter(
        labelled.sentiment for labelled, guess in zip(texts, guesses, strict=True) if labelled.sentiment == guess
    )
    return statistics.mean(right[sentiment] / total[sentiment] for sentiment in SENTIMENTS)
