"""Judge a model on labelled texts by TweetEval's measures: macro-averaged recall, and macro F1.

    BATCH_PROCESSOR_MODEL=bundled .venv/bin/python -m tools.evaluate_model ../shared/data/tweeteval-val.tsv

Each line of the file is the number of one of the model's labels (for sentiment 0 negative, 1 neutral, 2 positive), a
tab, and a text. The model, its device and its precision come from the service's own environment variables, and the
texts go through the service's own engine.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import mean

from batch_classification.head import SentimentHead
from batch_classification.settings import ClassifierSettings
from batch_inference.engine import Engine
from batch_inference.errors import BatchInferenceError
from batch_inference.settings import load_settings
from tools.measures import measures_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    args = parser.parse_args()
    rows = [line.split("\t", 1) for line in args.file.read_text(encoding="utf-8").splitlines()]
    try:
        settings = load_settings(ClassifierSettings)
        engine = Engine.start(settings, SentimentHead(settings.text_preparation))
    except BatchInferenceError as error:
        print(error, file=sys.stderr)
        return 1
    started_at = time.monotonic()
    outcome = engine.run([text.strip() for _, text in rows], engine.model.max_tokens)
    seconds = time.monotonic() - started_at
    labels = engine.model.labels
    expected = [labels[int(number)] for number, _ in rows]
    measures = measures_of(expected, [prediction.label for prediction in outcome.predictions])
    width = max(map(len, labels))
    for label in filter(measures.__contains__, labels):
        print(f"recall {label.lower():{width}} {measures[label].recall:.4f}")
    print(f"macro recall {'':{width - 5}}{mean(each.recall for each in measures.values()):.4f}")
    print(f"macro F1     {'':{width - 5}}{mean(each.f1 for each in measures.values()):.4f}")
    print(f"{len(rows)} texts, {len(rows) / seconds:.0f} texts/s, {settings.model} in {engine.model.precision}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
