"""What a run measured: one JSON object a run in bench/runs/, and the tables of bench/RESULTS.md made of those.

$ python -m bench.report            # writes the page's tables anew, after a run into bench/runs/
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.figures import figures
from bench.record import Record, Sample
from bench.servers import PEER_NAMES
from bench.workloads import WORKLOADS

PAGE = Path(__file__).resolve().parent / "RESULTS.md"
RUNS = Path(__file__).resolve().parent / "runs"

MIN_ROUNDS, MIN_TEXTS = 2, 64
"""Of a figure on the page: one round, or fewer texts in all rounds together, say little."""

TITLES = {
    "tweets-8x100": "8 clients, 100 tweets a request",
    "tweets-64x1": "64 clients, single tweets",
    "trickle": "one client, single tweets",
    "mixed-8x100": "8 clients, 100 texts a request, one in ten long",
}
MEASURES: dict[str, tuple[Callable[[Sample], float], int]] = {
    "texts_per_s": (lambda sample: sample.texts_per_s, 1),
    "p50_s": (lambda sample: sample.p50_s, 3),
    "p99_s": (lambda sample: sample.p99_s, 3),
    "memory_mib": (lambda sample: sample.peak_rss_mib, 0),
    "cpu_s_per_1000_texts": (lambda sample: 1000 * sample.cpu_s / sample.num_texts, 2),
    "loadgen_cpu_share": (lambda sample: sample.loadgen_cpu_share, 4),
    "agreement": (lambda sample: sample.agreement, 4),
}
"""Of a run's arms: medians over the rounds, and to how many digits."""


def summary(record: Record) -> dict[str, Any]:
    """A run as one JSON-ready object: medians, ratios, and what they were measured on."""
    return {
        "command": record.command,
        "machine": record.machine,
        "ratios": [
            {"name": f.name, "value": round(f.value, 3), "target": f.target, "is_upper_bound": f.is_upper_bound}
            for f in figures(record)
        ],
        "models": {model: _model(record, model) for model in record.models()},
        "scale": record.scale,
        "macro_recall": record.macro_recall,
        "failures": record.failures,
    }


def _model(record: Record, model: str) -> dict[str, Any]:
    speeds = [s.useful_flop_per_s for s in record.of(model, "tweets-8x100", "engine") if s.useful_flop_per_s]
    limits = record.limits.get(model, [])
    flop_per_s = {"engine": statistics.median(speeds)} if speeds else {}
    flop_per_s |= {kernels: statistics.median(limit[kernels] for limit in limits) for kernels in (limits or [{}])[0]}
    return {
        "workloads": {name: _workload(record, model, name) for name in record.workloads(model)},
        "gflop_per_s": {name: round(value / 1e9) for name, value in flop_per_s.items()},
        "peer_settings": record.tunings.get(model, {}),
        "pipeline_sweep": record.sweeps.get(model, {}),
    }


def _workload(record: Record, model: str, name: str) -> dict[str, Any]:
    samples = {arm: record.of(model, name, arm) for arm in record.arms(model)}
    num_texts = max(sample.num_texts for of_arm in samples.values() for sample in of_arm)
    workload = WORKLOADS[name]
    return {
        "requests_in_flight": min(workload.clients, num_texts // workload.texts_per_request),
        "texts_per_request": workload.texts_per_request,
        "texts": num_texts,
        "rounds": record.num_rounds(model, name),
        "arms": {arm: _arm(of_arm) for arm, of_arm in samples.items() if of_arm},
    }


def _arm(samples: list[Sample]) -> dict[str, float]:
    speeds = [sample.texts_per_s for sample in samples]
    medians = {
        name: round(statistics.median(map(value, samples)), digits) for name, (value, digits) in MEASURES.items()
    }
    return medians | {
        "lowest": round(min(speeds), 1),
        "highest": round(max(speeds), 1),
        "other_cores": round(max(sample.other_cores for sample in samples), 2),
    }


def write_run(record: Record, path: Path) -> None:
    """Write a run's object, indented, so that another run's shows as a difference."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary(record), indent=1) + "\n", encoding="utf-8")


def page_with_tables(page: str, runs: dict[str, dict[str, Any]]) -> str:
    """The page, with the tables between its marks `<!-- NAME -->` and `<!-- end -->` made anew from the runs."""

    def section(found: re.Match[str]) -> str:
        name = found.group(1)
        lines = best_peers(runs) if name == "best peers" else missed(runs) if name == "missed" else tables(runs[name])
        return "\n".join([f"<!-- {name} -->", "", *lines, "", "<!-- end -->"])

    return re.sub(r"<!-- ([\w -]+) -->\n.*?<!-- end -->", section, page, flags=re.DOTALL)


def best_peers(runs: dict[str, dict[str, Any]]) -> Iterator[str]:
    """A table with a row for each workload, model and machine: the service beside the best of the other servers."""
    yield from _head("model", "machine", "load", "service, texts/s", "best other, texts/s", "ratio", "texts x rounds")
    for run in runs.values():
        ratios = {ratio["name"]: ratio["value"] for ratio in run["ratios"]}
        for model, measured in run["models"].items():
            for name, workload in _shown(measured):
                speeds = {arm: figures["texts_per_s"] for arm, figures in workload["arms"].items()}
                peers = [peer for peer in PEER_NAMES if peer in speeds]
                if "service" not in speeds or len(peers) < 2:
                    continue
                best = max(peers, key=lambda peer: speeds[peer])
                ratio = ratios[f"{model}: service over best peer ({best}), {name}"]
                yield _row(
                    model,
                    _instructions(run),
                    TITLES[name],
                    f"{speeds['service']:.0f}",
                    f"{speeds[best]:.0f} ({best})",
                    f"**{ratio:.2f}**",
                    _size(workload),
                )


def missed(runs: dict[str, dict[str, Any]]) -> Iterator[str]:
    """A table of the ratios that are not what they should be."""
    yield from _head("run", "ratio", "measured", "target")
    for name, run in runs.items():
        for ratio in run["ratios"]:
            value, target = ratio["value"], ratio["target"]
            if value > target if ratio["is_upper_bound"] else value < target:
                yield _row(name, ratio["name"], f"{value:.3f}", f"{target:g}")


def tables(run: dict[str, Any]) -> Iterator[str]:
    """What a run was measured on, and a table for each model: texts a second by arm and load."""
    machine = run["machine"]
    yield f"{machine['processor']}, {machine['cores'].split(',')[0]} cores, commit {machine['commit']}. Made by:"
    yield from ("", "```console", f"$ {run['command']}", "```")
    for model, measured in run["models"].items():
        workloads = dict(_shown(measured))
        arms = dict.fromkeys(arm for workload in workloads.values() for arm in workload["arms"])
        yield ""
        yield from _head(f"{model}, texts/s", *(TITLES[name] for name in workloads))
        for arm in arms:
            cells = (workload["arms"].get(arm, {}).get("texts_per_s") for workload in workloads.values())
            yield _row(arm, *("" if speed is None else f"{speed:.0f}" for speed in cells))
        yield _row("texts x rounds", *map(_size, workloads.values()))


def _shown(measured: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, workload in measured["workloads"].items():
        if workload["rounds"] >= MIN_ROUNDS and workload["rounds"] * workload["texts"] >= MIN_TEXTS:
            yield name, workload


def _size(workload: dict[str, Any]) -> str:
    return f"{workload['texts']} x {workload['rounds']}"


def _instructions(run: dict[str, Any]) -> str:
    return "AVX-512" if "avx512" in run["machine"]["processor"] else "AVX2"


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield f"|{'---|' * len(names)}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def read_runs(folder: Path = RUNS) -> dict[str, dict[str, Any]]:
    """The runs that are kept, by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def main() -> None:
    PAGE.write_text(page_with_tables(PAGE.read_text(encoding="utf-8"), read_runs()), encoding="utf-8")


if __name__ == "__main__":
    main()
