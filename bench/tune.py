"""Finds each peer's batching settings for this machine: `python -m bench.tune [PEER ...]`.

Settings are per model and kind of text. On tweets a candidate is judged by the geometric mean of its texts per second
over 100-text requests and single-text requests, on mixed lengths by 100-text requests. The best go to
`peers/tuned.json`, which the bench reads. Settings are tried one after the other, each from the best so far.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
from dataclasses import replace
from typing import Any

from bench.arms import ArmError, HttpArm
from bench.checkpoints import CACHE, MODELS, checkpoint
from bench.servers import PEER_NAMES, SERVERS
from bench.session import log_progress
from bench.tuning import Tuning, write_tuned
from bench.workloads import WORKLOADS, TextKind
from rehearsal.texts import default_texts, mixed_texts, read_labelled, tweet_texts

OF_REQUESTS: dict[str, tuple[Any, ...]] = {"max_requests": (8, 64), "wait_ms": (5,)}
CANDIDATES: dict[str, dict[str, tuple[Any, ...]]] = {
    "infinity": {"is_compiled": (True,)},
    "infinity-onnx": {},
    "litserve": OF_REQUESTS,
    "mosec": OF_REQUESTS,
    "bentoml": {"max_requests": (8, 64)},
    "ray-serve": OF_REQUESTS,
    "vllm": {"max_requests": (64, 256)},
}
"""Values besides the default. The chunk comes from the sweep of each run."""

NUM_TEXTS: dict[str, dict[TextKind, dict[str, int]]] = {
    "bundled": {"tweets": {"tweets-8x100": 400, "tweets-64x1": 192}, "mixed": {"mixed-8x100": 200}},
    "roberta-base": {"tweets": {"tweets-8x100": 200, "tweets-64x1": 96}, "mixed": {"mixed-8x100": 100}},
}
"""Texts per trial, by model, kind of text and workload."""


def score(model: str, kind: TextKind, peer: str, tuning: Tuning, threads: int) -> float:
    """Texts per second of a peer with these settings; 0 if it fails."""
    tokenizer_file = checkpoint(model) / "tokenizer.json"
    tweets = [labelled.text for labelled in read_labelled(default_texts())]
    speeds = []
    try:
        arm = HttpArm(SERVERS[peer], checkpoint(model), threads, tuning, CACHE / f"tune-{model}-{peer}.log")
    except ArmError as error:
        log_progress(str(error))
        return 0.0
    try:
        for name, count in NUM_TEXTS[model][kind].items():
            workload = WORKLOADS[name]
            texts = mixed_texts(tweets, count, tokenizer_file) if kind == "mixed" else tweet_texts(tweets, count)
            requests = workload.requests(texts)
            # Once unmeasured, a part of it: what is compiled or grown for a shape is so for all that follow.
            arm.measure(requests[: max(1, len(requests) // 2)], workload.clients)
            speeds.append(count / arm.measure(requests, workload.clients).elapsed_s)
    except ArmError as error:
        log_progress(str(error))
        return 0.0
    finally:
        arm.close()
    return statistics.geometric_mean(speeds)


def tune(model: str, kind: TextKind, peer: str, threads: int) -> Tuning:
    """The best settings found for a peer, one setting after the other."""
    best, best_score = Tuning(), score(model, kind, peer, Tuning(), threads)
    log_progress(f"{model} {kind} {peer} {best}: {best_score:.1f}")
    for name, values in CANDIDATES[peer].items():
        for value in values:
            candidate = replace(best, **{name: value})
            candidate_score = score(model, kind, peer, candidate, threads)
            log_progress(f"{model} {kind} {peer} {candidate}: {candidate_score:.1f}")
            if candidate_score > best_score:
                best, best_score = candidate, candidate_score
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", default=PEER_NAMES, metavar="PEER", help=", ".join(PEER_NAMES))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--kinds", nargs="+", choices=("tweets", "mixed"), default=("tweets", "mixed"))
    args = parser.parse_args()
    for model, kind, peer in itertools.product(args.models, args.kinds, args.peers):
        write_tuned(model, kind, peer, tune(model, kind, peer, os.cpu_count() or 1))


if __name__ == "__main__":
    main()
