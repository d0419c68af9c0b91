"""Measures the host: the service with a model that answers at once, and RoBERTa's kind of tokenizer.

$ python -m bench.host                              # this checkout, about three minutes
$ git worktree add ../before COMMIT && python -m bench.host --before ../before      # and another one, in turns

In dev mode and as the platform runs it (HTTP/2, the SDK's middleware, encryption). What counts is the CPU time of the
instance's process, user and system: it stays nearly the same on a machine that is busy with other things, which texts/s
do not. Checkouts take turns and are frozen in between; figures are medians over the rounds, ratios medians of the
rounds' ratios. The tokenizer is trained on the spot, on the texts at hand: RoBERTa's own would have to be downloaded.
The last line is one JSON object.

With --launches, three instances take turns whose model launches passes as on a GPU: `none` of the calls, all of them
(`eager`), or one (`replay`); the device's own time is slept (`launching.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.checkpoints import CACHE, train_roberta_tokenizer
from bench.machine import describe_machine
from bench.processes import cpu_s, end_tree, freeze, thaw
from rehearsal.dev_server import wait_until_answered, wait_until_listening
from rehearsal.ports import free_port
from rehearsal.session import Session
from rehearsal.texts import default_texts, read_labelled, tweet_texts

ROOT = Path(__file__).resolve().parent.parent.parent
MODES = ("dev", "encrypted")
LAUNCHES = ("none", "eager", "replay")
MAX_BATCH_TOKENS = 16_384
"""As on a GPU; the tokens of 600 tweets."""


@dataclass(frozen=True)
class Workload:
    """So many clients with requests of so many texts; `num_requests` in a run."""

    clients: int
    texts_per_request: int
    num_requests: int

    @property
    def name(self) -> str:
        return f"{self.clients} x {self.texts_per_request}"

    def bodies(self, texts: list[str]) -> list[str]:
        """The requests' bodies, as JSON."""
        size = self.texts_per_request
        if size == 1:
            return [json.dumps({"text": text}) for text in tweet_texts(texts, self.num_requests)]
        many = tweet_texts(texts, size * self.num_requests)
        return [json.dumps({"texts": many[start : start + size]}) for start in range(0, len(many), size)]


WORKLOADS = (Workload(8, 100, 160), Workload(32, 100, 160), Workload(64, 1, 640))


@dataclass(frozen=True)
class Arm:
    """What an instance runs: the code in a folder, with a model that answers at once or launches passes some way."""

    code: Path
    launches: str = ""


@dataclass(frozen=True)
class Instance:
    """A running instance of a checkout; frozen but while it is measured."""

    mode: str
    url: str
    session: str
    cords: dict[str, str]
    process: subprocess.Popen[bytes]

    def run(self, workload: Workload, bodies: list[str]) -> tuple[float, float]:
        """CPU microseconds of the instance a text, and texts/s."""
        public_path = "/analyze-single" if workload.texts_per_request == 1 else "/process-batch"
        job = {
            "url": self.url,
            "path": self.cords.get(public_path, public_path),
            "session": self.session,
            "bodies": bodies,
            "clients": workload.clients,
        }
        thaw(self.process.pid)
        try:
            before = cpu_s(self.process.pid)
            command = [sys.executable, "-m", "bench.host.load"]
            load = subprocess.run(command, cwd=ROOT, input=json.dumps(job).encode(), capture_output=True, check=False)
            used_s = cpu_s(self.process.pid) - before
        finally:
            freeze(self.process.pid)
        if load.returncode:
            raise RuntimeError(load.stderr.decode(errors="replace")[-2000:])
        num_texts = workload.texts_per_request * len(bodies)
        return used_s / num_texts * 1e6, num_texts / json.loads(load.stdout)["elapsed_s"]


def environment(checkpoint: Path, session: str = "", launches: str = "") -> dict[str, str]:
    """Variables of an instance's process."""
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "BATCH_PROCESSOR_MODEL": str(checkpoint),
        "BATCH_PROCESSOR_DEVICE": "cpu",
        "BATCH_PROCESSOR_MAX_BATCH_TOKENS": str(MAX_BATCH_TOKENS),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "REHEARSAL_SESSION": session,
        "BENCH_LAUNCHES": launches,
    }


@contextmanager
def running(mode: str, arm: Arm, checkpoint: Path, folder: Path) -> Iterator[Instance]:
    """Start an instance; its log goes to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    session = Session.create().to_json() if mode == "encrypted" else ""
    port, cords_file, log = free_port(), folder / "cords.json", folder / "log"
    command = [sys.executable, "-m", "bench.host.instant", mode, str(port)] + ([str(cords_file)] if session else [])
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=arm.code,
            env=environment(checkpoint, session, arm.launches),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_listening(port, process, log)
        known = json.loads(cords_file.read_text()) if session else []
        # A list in older checkouts.
        cords = known["cords"] if isinstance(known, dict) else known
        paths = {cord["public_api_path"]: cord["path"] for cord in cords}
        if not session:
            wait_until_answered(f"http://127.0.0.1:{port}/batch-stats", process, log)
        freeze(process.pid)
        yield Instance(mode, f"http://127.0.0.1:{port}", session, paths, process)
    finally:
        end_tree(process)


def stages_of(code: Path, checkpoint: Path, texts: list[str]) -> dict[str, float]:
    """CPU microseconds a text inside a cord, by stage, for a request of 100 texts."""
    texts_file = CACHE / "host" / "texts.json"
    texts_file.write_text(json.dumps(texts[:100]))
    command = [sys.executable, "-m", "bench.host.instant", "stages", str(texts_file)]
    result = subprocess.run(command, cwd=code, env=environment(checkpoint), capture_output=True, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr.decode(errors="replace")[-2000:])
    stages: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return stages


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.host", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, help="another checkout of this repository, to compare with")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--share", type=float, default=1, help="requests in a run, over the usual number (default 1)")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("--workloads", nargs="+", choices=names, default=names)
    parser.add_argument("--launches", nargs="+", choices=LAUNCHES, help="how passes are launched; measured in turns")
    args = parser.parse_args()
    texts = [labelled.text for labelled in read_labelled(default_texts())]
    checkpoint = train_roberta_tokenizer(CACHE / "roberta-tokenizer")
    checkouts = {"now": ROOT} | ({"before": args.before.resolve()} if args.before else {})
    arms = {name: Arm(code) for name, code in checkouts.items()}
    if args.launches:
        arms = {launches: Arm(ROOT, launches) for launches in args.launches}
    for name, value in describe_machine(os.cpu_count() or 1).items():
        print(f"{name}: {value}")
    workloads = [workload for workload in WORKLOADS if workload.name in args.workloads]
    measured = measure(arms, checkpoint, texts, workloads, args.modes, args.repeats, args.share)
    if args.launches:
        report_launches(measured)
        return 0
    stages: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(3):
        for name, code in checkouts.items():
            stages[name].append(stages_of(code, checkpoint, texts))
    report(measured, {name: _medians(runs) for name, runs in stages.items()})
    return 0


Measured = dict[tuple[str, str, str], list[tuple[float, float]]]
"""Per mode, workload and arm: CPU microseconds a text and texts/s of each round."""


def measure(
    arms: dict[str, Arm],
    checkpoint: Path,
    texts: list[str],
    workloads: list[Workload],
    modes: list[str],
    repeats: int,
    share: float,
) -> Measured:
    """Run the workloads on every arm, in turns."""
    measured: Measured = defaultdict(list)
    for mode in modes:
        with ExitStack() as opened:
            instances = {
                name: opened.enter_context(running(mode, arm, checkpoint, CACHE / "host" / f"{mode}-{name}"))
                for name, arm in arms.items()
            }
            # The first round warms up.
            for repeat in range(repeats + 1):
                for workload in workloads:
                    bodies = workload.bodies(texts)[: max(1, round(workload.num_requests * share))]
                    for name, instance in instances.items():
                        result = instance.run(workload, bodies)
                        if repeat:
                            measured[mode, workload.name, name].append(result)
                print(f"{mode}: round {repeat} of {repeats}", file=sys.stderr, flush=True)
    return measured


def report(measured: Measured, stages: dict[str, dict[str, float]]) -> None:
    """Print tables in Markdown, and all of it as one JSON object."""
    print("\n| mode | clients x texts | checkout | CPU us a text | texts/s | CPU over before | texts/s over before |")
    print("|---|---|---|---|---|---|---|")
    summary: dict[str, Any] = {"stages": stages, "runs": []}
    for (mode, workload, name), rounds in measured.items():
        cpu, speed = (statistics.median(values) for values in zip(*rounds, strict=True))
        row: dict[str, Any] = {
            "mode": mode,
            "workload": workload,
            "checkout": name,
            "cpu_us": cpu,
            "texts_per_s": speed,
        }
        if name == "now" and (before := measured.get((mode, workload, "before"))):
            row["cpu_ratio"] = statistics.median(new[0] / old[0] for new, old in zip(rounds, before, strict=True))
            row["speed_ratio"] = statistics.median(new[1] / old[1] for new, old in zip(rounds, before, strict=True))
        ratios = [f"{row[key]:.2f}" if key in row else "" for key in ("cpu_ratio", "speed_ratio")]
        print(f"| {mode} | {workload} | {name} | {cpu:.1f} | {speed:.0f} | {' | '.join(ratios)} |")
        summary["runs"].append(row)
    names = list(next(iter(stages.values())))
    print(f"\n| CPU us a text in a cord, 100 texts | {' | '.join(names)} | all |\n|{'---|' * (len(names) + 2)}")
    for name, took in stages.items():
        print(f"| {name} | {' | '.join(f'{took[stage]:.1f}' for stage in names)} | {sum(took.values()):.1f} |")
    print(json.dumps(summary))


def report_launches(measured: Measured) -> None:
    """Print what launching costs as a table in Markdown, and its ratios to launching nothing as one JSON object.

    The object has `replay_over_none` and `eager_over_none`: by mode and workload the ratios of texts/s and of CPU time
    a text, medians of the rounds' ratios.
    """
    print("\n| mode | clients x texts | launches | CPU us a text | texts/s | CPU over none | texts/s over none |")
    print("|---|---|---|---|---|---|---|")
    summary: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for (mode, workload, launches), rounds in measured.items():
        cpu, speed = (statistics.median(values) for values in zip(*rounds, strict=True))
        shown = ["", ""]
        if launches != "none" and (none := measured.get((mode, workload, "none"))):
            pairs = list(zip(rounds, none, strict=True))
            ratios = {
                "cpu_a_text": statistics.median(own[0] / other[0] for own, other in pairs),
                "texts_per_s": statistics.median(own[1] / other[1] for own, other in pairs),
            }
            summary[f"{launches}_over_none"][f"{mode} {workload}"] = ratios
            shown = [f"{ratio:.2f}" for ratio in ratios.values()]
        print(f"| {mode} | {workload} | {launches} | {cpu:.1f} | {speed:.0f} | {' | '.join(shown)} |")
    print(json.dumps(summary))


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


if __name__ == "__main__":
    sys.exit(main())
