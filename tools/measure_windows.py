"""When windows help: sentiment of rated reviews, cut off at `max_length` against read whole in windows.

    BATCH_PROCESSOR_MODEL=bundled .venv/bin/python -m tools.measure_windows ../shared/data/amazon-reviews.tsv

Each line of the file is a rating (its sign is the sentiment), a tab, and a review. A review is right if the model finds
its sentiment likelier than the opposite. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from batch_classification.in_process import start_engine
from batch_inference.errors import BatchInferenceError
from batch_inference.outcome import Outcome

MAX_LENGTHS = (64, 128, 256, 512)


def accuracy(outcome: Outcome, ratings: list[float]) -> float:
    """Share of the texts whose likelier side is that of their rating."""
    positive, negative = outcome.labels.index("POSITIVE"), outcome.labels.index("NEGATIVE")
    is_positive = outcome.answers[:, positive] > outcome.answers[:, negative]
    return float(np.mean(is_positive == (np.array(ratings) > 0)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    rows = [line.split("\t", 1) for line in parser.parse_args().file.read_text(encoding="utf-8").splitlines()]
    ratings, texts = [float(rating) for rating, _ in rows], [text.strip() for _, text in rows]
    try:
        engine = start_engine(answer_cache_mib=0)
    except BatchInferenceError as error:
        print(error, file=sys.stderr)
        return 1
    print("| `max_length` | longer texts | truncate: right | window: right | window: tokens run |")
    print("|---|---|---|---|---|")
    for max_length in MAX_LENGTHS:
        cut, whole = (engine.run(texts, max_length, in_windows=in_windows) for in_windows in (False, True))
        print(
            f"| {max_length} | {np.mean(cut.num_dropped > 0):.0%} | {accuracy(cut, ratings):.1%} "
            f"| {accuracy(whole, ratings):.1%} | {whole.num_tokens_run / cut.num_tokens_run:.1f} times |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
