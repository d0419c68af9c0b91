"""Finds each peer's batching settings for this machine: `python -m bench.tune [PEER ...]`.

One setting serves all workloads, as in a deployment, so a candidate is judged by the geometric mean of its texts per
second over tweets as 100-text requests, tweets as single-text requests, and mixed lengths. The best go to
`peers/tuned.json`, which the bench reads. Settings are tried one after the other, each from the best so far.
"""

from __future__ import annotations

import argparse
import os
import statistics
from dataclasses import replace
from typing import Any

from bench.arms import ArmError, HttpArm
from bench.checkpoints import CACHE, MODELS, checkpoint
from bench.servers import PEER_NAMES, SERVERS
from bench.session import tell
from bench.texts import DEFAULT_TEXTS, mixed_texts, read_labelled, tweet_texts
from bench.tuning import Tuning, write_tuned
from bench.workloads import WORKLOADS

OF_REQUESTS: dict[str, tuple[Any, ...]] = {"max_requests": (8, 64), "wait_ms": (5,)}
CANDIDATES: dict[str, dict[str, tuple[Any, ...]]] = {
    "infinity": {"chunk_size": (8, 32, 64), "is_compiled": (True,)},
    "litserve": OF_REQUESTS,
    "mosec": OF_REQUESTS,
    "bentoml": {"max_requests": (8, 64)},
    "ray-serve": OF_REQUESTS,
}
"""Values besides the default. The chunk of the peers that run our model code comes from the sweep of each run."""

NUM_TEXTS = {"bundled": {"tweets-8x100": 400, "tweets-64x1": 192, "mixed-8x100": 200}}
NUM_TEXTS["roberta-base"] = {"tweets-8x100": 200, "tweets-64x1": 96, "mixed-8x100": 100}


def score(model: str, peer: str, tuning: Tuning, threads: int) -> float:
    """Texts per second of a peer with these settings; 0 if it fails."""
    folder = checkpoint(model)
    tweets = [labelled.text for labelled in read_labelled(DEFAULT_TEXTS)]
    speeds = []
    try:
        arm = HttpArm(SERVERS[peer], folder, threads, tuning, CACHE / f"tune-{model}-{peer}.log")
    except ArmError as error:
        tell(str(error))
        return 0.0
    try:
        for name, count in NUM_TEXTS[model].items():
            workload = WORKLOADS[name]
            is_mixed = workload.kind == "mixed"
            texts = mixed_texts(tweets, count, folder / "tokenizer.json") if is_mixed else tweet_texts(tweets, count)
            requests = workload.requests(texts)
            # Once unmeasured, a part of it: what is compiled or grown for a shape is so for all that follow.
            arm.measure(requests[: max(1, len(requests) // 2)], workload.clients)
            speeds.append(count / arm.measure(requests, workload.clients).elapsed_s)
    except ArmError as error:
        tell(str(error))
        return 0.0
    finally:
        arm.close()
    return statistics.geometric_mean(speeds)


def tune(model: str, peer: str, threads: int) -> Tuning:
    """The best settings found for a peer, one setting after the other."""
    best, best_score = Tuning(), score(model, peer, Tuning(), threads)
    tell(f"{model} {peer} {best}: {best_score:.1f}")
    for name, values in CANDIDATES[peer].items():
        for value in values:
            candidate = replace(best, **{name: value})
            candidate_score = score(model, peer, candidate, threads)
            tell(f"{model} {peer} {candidate}: {candidate_score:.1f}")
            if candidate_score > best_score:
                best, best_score = candidate, candidate_score
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", default=PEER_NAMES, metavar="PEER", help=", ".join(PEER_NAMES))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    args = parser.parse_args()
    for model in args.models:
        for peer in args.peers:
            write_tuned(model, peer, tune(model, peer, os.cpu_count() or 1))


if __name__ == "__main__":
    main()
