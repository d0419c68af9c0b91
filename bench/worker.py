"""One in-process arm in a process of its own: `python -m bench.worker ARM CHECKPOINT`.

Jobs come as JSON lines on standard input, one result line each goes to standard output. A process of its own, so that
an arm's memory is its own and arms can take turns.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bench.limit import ModelShape, matmul_flop_per_s
from bench.routines import Answer, PipelineRoutine, Routine, make_routine


def run_requests(routine: Routine, requests: list[list[str]], clients: int) -> dict[str, Any]:
    """Answer all requests from `clients` threads, each taking the next one when its last is answered."""
    answers: list[Answer | None] = [None] * len(requests)
    latencies_s = [0.0] * len(requests)
    jobs = iter(range(len(requests)))

    def client() -> None:
        for index in jobs:
            started_at = time.perf_counter()
            answers[index] = routine.classify(requests[index])
            latencies_s[index] = time.perf_counter() - started_at

    cpu_before, started_at = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        for finished in [threads.submit(client) for _ in range(clients)]:
            finished.result()
    elapsed_s, cpu_s = time.perf_counter() - started_at, time.process_time() - cpu_before
    done = [answer for answer in answers if answer]
    return {
        "elapsed_s": elapsed_s,
        "cpu_s": cpu_s,
        "latencies_s": latencies_s,
        "labels": [label for answer in done for label in answer.labels],
        "num_tokens": [count for answer in done for count in answer.num_tokens],
    }


def _answer_job(routine: Routine | None, checkpoint: Path, job: dict[str, Any]) -> dict[str, Any]:
    if routine is None:
        return asdict(matmul_flop_per_s(ModelShape.of(checkpoint)))
    if "batch_size" in job and isinstance(routine, PipelineRoutine):
        routine.configure(job["batch_size"])
    result = run_requests(routine, job["requests"] * job["cycles"], job["clients"])
    # So that the memory read after a run is what is held, not what waits to be collected.
    gc.collect()
    return result


def _jobs() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    arm, checkpoint = sys.argv[1], Path(sys.argv[2])
    # Results have standard output for themselves: whatever libraries print goes to standard error.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    routine = None if arm == "limit" else make_routine(arm, checkpoint)
    print(json.dumps({"is_ready": True}), file=results, flush=True)
    for job in _jobs():
        print(json.dumps(_answer_job(routine, checkpoint, job)), file=results, flush=True)


if __name__ == "__main__":
    main()
