"""Mixed traffic for a while, with faults at random, and what the service holds meanwhile.

$ python -m tests.soak --duration 30m --plot docs/plots/soak.svg

Answers are compared with those that the engine gave before, alone. The last line is one JSON object; the exit status
is 1 if an answer was wrong, the resident memory still rose after the warm-up, or threads or descriptors were left.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from batch_classification.in_process import start_engine
from rehearsal.dev_server import Server, running_server
from rehearsal.texts import OWN_LONG_TEXTS, OWN_SHORT_TEXTS, read_labelled
from tests.fuzz.watch import Holdings, settled
from tests.soak.traffic import SoakClient, Tally
from tests.soak.trend import slope

FAULTS = Path(__file__).resolve().parent.parent / "faults"
FAULT_RATE = "0.003"
"""Of forward passes that fail, and of those that run out of memory."""

NUM_CLIENTS = 8
NUM_SAMPLES = 300
WARM_UP_SHARE = 0.3
MAX_EXTRA_THREADS = 70
"""The SDK's pool of 65 makes a thread when none is idle, perhaps late in the run."""

MAX_EXTRA_DESCRIPTORS = 4


def seconds(duration: str) -> float:
    """What `30m`, `90s` or `2h` says."""
    return float(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def expected_scores() -> dict[str, dict[str, float]]:
    """Each of the repository's texts with the scores that the engine gives it."""
    texts = [labelled.text for path in (OWN_SHORT_TEXTS, OWN_LONG_TEXTS) for labelled in read_labelled(path)]
    engine = start_engine(model="bundled", device="cpu", precision="float32")
    predictions = engine.run(texts, 512).predictions
    engine.close()
    return {text: prediction.scores for text, prediction in zip(texts, predictions, strict=True)}


def sampled(server: Server, duration_s: float) -> tuple[list[float], list[Holdings]]:
    """What the server holds, about `NUM_SAMPLES` times over so long."""
    started_at = time.monotonic()
    times, samples = [], []
    while (elapsed := time.monotonic() - started_at) < duration_s:
        times.append(elapsed)
        samples.append(Holdings.of(server.process.pid))
        if len(samples) % 30 == 1:
            print(f"{elapsed:6.0f} s: {samples[-1]}", file=sys.stderr, flush=True)
        time.sleep(duration_s / NUM_SAMPLES)
    return times, samples


def draw(path: Path, times: list[float], samples: list[Holdings], title: str) -> None:
    """Resident memory over threads and descriptors, by minute."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    minutes = [each / 60 for each in times]
    figure, (memory, counts) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 5))
    memory.plot(minutes, [each.resident_mib for each in samples])
    memory.axvline(minutes[-1] * WARM_UP_SHARE, linestyle=":", color="gray")
    memory.set(ylabel="resident MiB", title=title, ylim=(0, None))
    counts.plot(minutes, [each.num_threads for each in samples], label="threads")
    counts.plot(minutes, [each.num_descriptors for each in samples], label="descriptors")
    counts.set(xlabel="minutes", ylabel="number", ylim=(0, None))
    counts.legend()
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duration", default="30m", help="such as 90s, 30m, 2h")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    expected, tally, is_over = expected_scores(), Tally(), threading.Event()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "log", "faulty_processor:chute", FAULTS, FAULT_RATE=FAULT_RATE) as server,
    ):
        at_start = settled(server.process.pid, server.url)
        clients = [SoakClient(server.url, number, expected, tally) for number in range(NUM_CLIENTS)]
        threads = [threading.Thread(target=client.run, args=(is_over,)) for client in clients]
        for thread in threads:
            thread.start()
        times, samples = sampled(server, seconds(args.duration))
        is_over.set()
        for thread in threads:
            thread.join()
        at_end = settled(server.process.pid, server.url, timeout_s=90)
        log_bytes = server.log.stat().st_size
    warm = int(len(samples) * WARM_UP_SHARE)
    trend = slope(times[warm:], [each.resident_mib for each in samples[warm:]])
    is_held = (
        at_end.num_threads <= at_start.num_threads + MAX_EXTRA_THREADS
        and at_end.num_descriptors <= at_start.num_descriptors + MAX_EXTRA_DESCRIPTORS
    )
    summary = {
        "duration": args.duration,
        "results_compared": tally.num_results,
        "wrong_answers": len(tally.wrong),
        "largest_difference": tally.largest_difference,
        "outcomes": dict(sorted(tally.outcomes.items())),
        "resident_mib_per_hour": round(trend.per_s * 3600, 2),
        "plus_or_minus": round(trend.half_width_per_s * 3600, 2),
        "is_slope_zero": trend.is_zero,
        "at_start": dataclasses.asdict(at_start),
        "at_end": dataclasses.asdict(at_end),
        "log_bytes": log_bytes,
    }
    if args.plot:
        title = f"{args.duration}, {tally.num_results} results compared, {len(tally.wrong)} wrong"
        draw(args.plot, times, samples, title)
    for wrong in tally.wrong[:20]:
        print(wrong, file=sys.stderr)
    print(json.dumps(summary))
    return 0 if not tally.wrong and trend.is_zero and is_held else 1


if __name__ == "__main__":
    sys.exit(main())
