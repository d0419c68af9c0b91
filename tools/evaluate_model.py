"""Judge a model on labelled texts: macro-averaged recall, TweetEval's measure for sentiment.

    BATCH_PROCESSOR_MODEL=bundled .venv/bin/python -m tools.evaluate_model ../shared/data/tweeteval-val.tsv

Each line of the file is a label (0 negative, 1 neutral, 2 positive), a tab, and a text. The model, its device and its
precision come from the service's own environment variables, and the texts go through the service's own engine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from batch_classification.head import SENTIMENTS, SentimentHead
from batch_classification.settings import ClassifierSettings
from batch_inference.engine import Engine
from batch_inference.errors import BatchInferenceError
from batch_inference.settings import load_settings


def recalls(expected: list[str], predicted: list[str]) -> dict[str, float]:
    """For each label that occurs in `expected`, the share of its texts that were given it."""
    total = Counter(expected)
    right = Counter(label for label, guess in zip(expected, predicted, strict=True) if label == guess)
    return {label: right[label] / total[label] for label in SENTIMENTS if total[label]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    args = parser.parse_args()
    rows = [line.split("\t", 1) for line in args.file.read_text(encoding="utf-8").splitlines()]
    expected = [SENTIMENTS[int(label)] for label, _ in rows]
    try:
        settings = load_settings(ClassifierSettings)
        engine = Engine.start(settings, SentimentHead(settings.text_preparation))
    except BatchInferenceError as error:
        print(error, file=sys.stderr)
        return 1
    started_at = time.monotonic()
    outcome = engine.run([text.strip() for _, text in rows], engine.model.max_tokens)
    seconds = time.monotonic() - started_at
    by_label = recalls(expected, [prediction.label for prediction in outcome.predictions])
    for label, recall in by_label.items():
        print(f"recall {label.lower():8} {recall:.4f}")
    print(f"macro recall    {sum(by_label.values()) / len(by_label):.4f}")
    print(f"{len(rows)} texts, {len(rows) / seconds:.0f} texts/s, {settings.model} in {engine.model.precision}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
