"""Three analyses in one request to one service, beside three requests to three services, taking turns on the same
cores: `python -m bench.analyses`. Also the CPU time of tokenizing, which the one service does once for all three.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from batch_classification.in_process import start_engine
from batch_classification.settings import SENTIMENT, bundled_folder
from batch_inference.token_rows import TokenRows
from bench.loadgen import run_load
from rehearsal.dev_server import Server, running_server
from rehearsal.texts import OWN_SHORT_TEXTS, read_labelled, varied_texts

FURTHER = ("emotion", "offensive")
NAMES = (SENTIMENT, *FURTHER)
CLIENTS, REQUEST_TEXTS = 8, 100
TOKENIZING_ROUNDS = 20


@dataclass(frozen=True)
class Arm:
    """Services that answer the same requests: one of them all analyses, or each of them one."""

    services: Sequence[Server]
    bodies: Sequence[bytes]

    def cpu_s(self) -> float:
        """CPU seconds of its services so far."""
        times = [psutil.Process(service.process.pid).cpu_times() for service in self.services]
        return float(sum(each.user + each.system for each in times))

    def run(self) -> tuple[float, float]:
        """Have all requests answered by all services; seconds by the clock and of CPU time."""

        async def all_at_once() -> None:
            urls = [f"{service.url}/process-batch" for service in self.services]
            await asyncio.gather(*(run_load(url, list(self.bodies), CLIENTS) for url in urls))

        started_at, cpu_before = time.perf_counter(), self.cpu_s()
        asyncio.run(all_at_once())
        return time.perf_counter() - started_at, self.cpu_s() - cpu_before


def tokenizing_us(texts: Sequence[str], names: Sequence[str]) -> float:
    """Microseconds of CPU time for a text's tokens, in requests for these analyses: the least of several rounds."""
    further = ",".join(f"{name}=bundled" for name in FURTHER)
    engine = start_engine(model="bundled", device="cpu", answer_cache_mib=0, analyses=further)
    spent = [0.0]
    tokenizers = {served.model.tokenizer for served in engine.served.values()}
    for tokenizer in tokenizers:
        encode = tokenizer.encode_plain

        def timed(part: Sequence[str], encode=encode) -> TokenRows:  # type: ignore[no-untyped-def]
            before = time.thread_time()
            rows: TokenRows = encode(part)
            spent[0] += time.thread_time() - before
            return rows

        tokenizer.encode_plain = timed
    rounds = []
    for _ in range(TOKENIZING_ROUNDS):
        spent[0] = 0.0
        with engine.admitted_for_several(names, texts, 512) as admitted:
            admitted.run()
        rounds.append(spent[0])
    engine.close()
    return 1e6 * min(rounds) / len(texts)


def arms(stack: ExitStack, folder: Path, texts: Sequence[str], threads: int) -> dict[str, Arm]:
    """Both, with so many threads for each model's passes."""
    requests = [texts[start : start + REQUEST_TEXTS] for start in range(0, len(texts), REQUEST_TEXTS)]
    plain = [json.dumps({"texts": part}).encode() for part in requests]
    analysed = [json.dumps({"texts": part, "analyses": NAMES}).encode() for part in requests]

    def service(name: str, model: str = "bundled", analyses: str = "") -> Server:
        server = running_server(
            folder / name,
            OMP_NUM_THREADS=str(threads),
            BATCH_PROCESSOR_MODEL=model,
            BATCH_PROCESSOR_ANALYSES=analyses,
        )
        return stack.enter_context(server)

    further = ",".join(f"{name}=bundled" for name in FURTHER)
    one = [service("one", analyses=further)]
    three = [service(name, str(bundled_folder(name))) for name in NAMES]
    return {"one service": Arm(one, analysed), "three services": Arm(three, plain)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.analyses", description=__doc__)
    parser.add_argument("--requests", type=int, default=40, help="of 100 texts in a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="that count (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of a model (default: all cores)")
    args = parser.parse_args()
    short = [each.text for each in read_labelled(OWN_SHORT_TEXTS)]
    texts = varied_texts(short, args.requests * REQUEST_TEXTS)
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        compared = arms(stack, Path(folder), texts, args.threads)
        rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in compared}
        for number in range(args.rounds + 1):
            for name, arm in compared.items():
                measured = arm.run()
                if number:
                    rounds[name].append(measured)
    print(f"{CLIENTS} clients x {REQUEST_TEXTS} texts, {len(texts)} texts, {args.threads} thread(s), three analyses")
    print("| arm | texts/s | CPU ms a text |\n|---|---|---|")
    for name, measured_rounds in rounds.items():
        wall, cpu = (statistics.median(seconds) for seconds in zip(*measured_rounds, strict=True))
        print(f"| {name} | {len(texts) / wall:.0f} | {1000 * cpu / len(texts):.2f} |")
    pairs = zip(*rounds.values(), strict=True)
    print(f"texts/s, one over three: {statistics.median(three[0] / one[0] for one, three in pairs):.2f}")
    for names in (NAMES[:1], NAMES):
        print(f"tokenizing for {len(names)}: {tokenizing_us(texts[:REQUEST_TEXTS], names):.1f} us of CPU time a text")
    return 0


if __name__ == "__main__":
    sys.exit(main())
