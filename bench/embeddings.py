"""The embedder's engine beside sentence-transformers and, if it is installed, Infinity's engine, taking turns:
`python -m bench.embeddings`. Texts per second of CPU time: on a shared machine the clock says little.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from batch_embedding.head import EmbeddingHead
from batch_embedding.recipe import Recipe
from batch_embedding.settings import EmbedderSettings
from batch_inference.engine import Engine
from bench.servers import VENVS
from rehearsal.chutes import CHUTES
from rehearsal.texts import OWN_LONG_TEXTS, OWN_SHORT_TEXTS, read_labelled, varied_texts

NUM_TEXTS, ROUNDS, REQUEST_TEXTS = 400, 5, 100

INFINITY = """
import asyncio, json, sys, time
from infinity_emb import AsyncEmbeddingEngine, EngineArgs

async def main():
    engine = AsyncEmbeddingEngine.from_args(EngineArgs(
        model_name_or_path=sys.argv[1], engine="torch", device="cpu", dtype="float32", batch_size=32,
        bettertransformer=False, compile=False, model_warmup=False))
    async with engine:
        print("ready", flush=True)
        for line in sys.stdin:
            texts = json.loads(line)
            started, cpu = time.perf_counter(), time.process_time()
            await engine.embed(sentences=texts)
            print(json.dumps([time.perf_counter() - started, time.process_time() - cpu]), flush=True)

asyncio.run(main())
"""

Arm = Callable[[list[str]], tuple[float, float]]
"""Embeds texts; returns seconds by the clock and seconds of CPU time."""


def timed(embed: Callable[[list[str]], object]) -> Arm:
    def run(texts: list[str]) -> tuple[float, float]:
        started, cpu = time.perf_counter(), time.process_time()
        embed(texts)
        return time.perf_counter() - started, time.process_time() - cpu

    return run


def ours(model: str) -> Arm:
    # The same texts come again each round.
    settings = EmbedderSettings(model=model, device="cpu", precision="float32", answer_cache_mib=0)
    engine = Engine.start(settings, EmbeddingHead(Recipe.read(settings)))

    def embed(texts: list[str]) -> None:
        for start in range(0, len(texts), REQUEST_TEXTS):
            engine.run(texts[start : start + REQUEST_TEXTS], engine.model.max_tokens)

    return timed(embed)


def sentence_transformers(model: str) -> Arm:
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(model, device="cpu")
    return timed(lambda texts: encoder.encode(texts, batch_size=32, show_progress_bar=False))


def infinity(model: str) -> Arm | None:
    python = VENVS / "infinity" / "bin" / "python"
    if not (VENVS / "infinity" / ".installed").exists():
        return None
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
    process = subprocess.Popen(
        [str(python), "-c", INFINITY, model],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    while process.stdout.readline().strip() != "ready":
        assert process.poll() is None, "Infinity did not start"

    def run(texts: list[str]) -> tuple[float, float]:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(texts) + "\n")
        process.stdin.flush()
        wall_s, cpu_s = json.loads(process.stdout.readline())
        return wall_s, cpu_s

    return run


def main() -> int:
    model = CHUTES["batch_embedder"].bundled_model()
    arms = {"embedder": ours(model), "sentence-transformers": sentence_transformers(model)}
    if (other := infinity(model)) is not None:
        arms["infinity"] = other
    short = varied_texts([each.text for each in read_labelled(OWN_SHORT_TEXTS)], NUM_TEXTS)
    long = [each.text for each in read_labelled(OWN_LONG_TEXTS)][: NUM_TEXTS // 10]
    workloads = {"short texts": short, "one in ten long": short[: NUM_TEXTS - len(long)] + long}
    for name, texts in workloads.items():
        rounds: dict[str, list[tuple[float, float]]] = {arm: [] for arm in arms}
        for number in range(ROUNDS + 1):
            for arm, run in arms.items():
                measured = run(texts)
                if number:
                    rounds[arm].append(measured)
        print(f"\n{name}, {len(texts)} texts, medians of {ROUNDS} rounds")
        print("| arm | texts per CPU second | texts per second |")
        print("|---|---|---|")
        for arm, measured_rounds in rounds.items():
            wall, cpu = (statistics.median(seconds) for seconds in zip(*measured_rounds, strict=True))
            print(f"| {arm} | {len(texts) / cpu:.0f} | {len(texts) / wall:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
