"""Writes what a run measured: tables in Markdown, plots beside them, and one object for machines.

$ python -m bench.report            # again from the record of the last run, also of one that was stopped
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.checkpoints import CACHE
from bench.figures import figures
from bench.plots import draw_plots
from bench.quiet import DISTURBED_CORES
from bench.record import Record, Sample
from bench.session import SERIAL_SHARE
from bench.workloads import WORKLOADS

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"

METHOD = f"""\
Every arm is a process tree of its own, started and warmed up before the first measurement and stopped (SIGSTOP)
whenever another one is measured. A measurement waits a few seconds for the machine to fall quiet, and is repeated
once if others disturbed it. The arms take turns on each workload (A B C, A B C, ...); a figure is the median over
the rounds, and a ratio the median of the rounds' ratios, as a shared machine may be faster in one round than in
another. All have the same weights, texts, float32 and number of torch threads. Clients send their next request when
the last one is answered. Over HTTP the load comes from a process of its own on the same cores.

- `engine` is our engine without a server, `engine-int8` the same in int8; names that end in `-before` are those of
  another commit. `naive` is the public example's routine: chunks of 16 in order of arrival, padded to the longest, each
  request on its own. `pipeline` is transformers' pipeline at the batch size that the sweep below found best for the
  kind of text. These two answer one request after the other, so they get the first {SERIAL_SHARE:.0%} of the requests;
  their latencies include the wait for their turn.
- `onnxruntime` and `openvino` run the same model in process, in float32 and in int8, the texts of a whole run sorted by
  length into passes of at most 1,024 padded tokens.
- `service` is our chute on the SDK's own server. The other servers have one model process each and their batching on.
  Infinity runs transformers' pipeline on batches that it sorts by length (`infinity-onnx`, its engine on onnxruntime,
  gives it one text at a time and fails on one that is too long); the others run one common piece of model code
  (`peers/common/classifier.py`, chunks padded to the longest) behind their own batching of requests. The chunk, or
  Infinity's batch size, is the pipeline's best on the kind of text at hand, from the sweep of the same run; so servers
  are started anew, each at its best, for tweets and for mixed lengths. Our service has the same settings everywhere.
  The rest of the peers' settings is in the tables; `python -m bench.tune` tries others and keeps the best. All take a
  list of texts per request, so a request of 100 texts is one request to all of them, and a single text a list of one
  (`/analyze-single` for the service).
- The engine and the service run RoBERTa's encoder without padding on oneDNN's kernels; the others run transformers' own
  modules on the kernels that torch takes by itself. "The limit" below tells how fast either kind is alone.
- Latencies are of whole requests. Memory is the highest resident memory of the process tree.
- RoBERTa-base has random weights, whose labels are near ties: the agreement of labels says little there.
"""

Cell = Callable[[Record, str, str, str], str]


def write_report(record: Record, path: Path) -> None:
    """Write the Markdown file and the plots in `plots/` beside it."""
    plots = draw_plots(record, path.parent / "plots")
    path.write_text("\n".join(_lines(record, plots)) + "\n", encoding="utf-8")


def summary(record: Record) -> dict[str, Any]:
    """The medians and ratios as one JSON-ready object."""
    return {
        "texts_per_s": {
            model: {
                workload: {
                    arm: round(speed, 1) for arm in record.arms(model) if (speed := record.speed(model, workload, arm))
                }
                for workload in record.workloads(model)
            }
            for model in record.models()
        },
        "figures": [
            {"name": figure.name, "value": round(figure.value, 4), "target": figure.target, "is_met": figure.is_met}
            for figure in figures(record)
        ],
        "scale": record.scale,
        "macro_recall": record.macro_recall,
        "failures": sorted(record.failures),
        "machine": record.machine,
    }


def _lines(record: Record, plots: list[Path]) -> Iterable[str]:
    yield from ("# Results", "", f"Made by `{record.command}`; not edited by hand.", "")
    yield from _table(["", ""], [[name, value] for name, value in record.machine.items()])
    yield from ("", "## How", "", METHOD)
    yield _trust(record)
    yield from ("", "## Against the targets", "")
    yield from _table(
        ["ratio", "measured", "target", ""],
        [
            [
                figure.name,
                f"{figure.value:.3f}",
                f"{'at most' if figure.is_upper_bound else 'at least'} {figure.target:g}",
                "met" if figure.is_met else "missed",
            ]
            for figure in figures(record)
        ],
    )
    for model in record.models():
        yield from ("", f"## {model}", "")
        yield from (f"![{plot.stem}](plots/{plot.name})" for plot in plots if plot.stem.startswith(model))
        yield from _model_tables(record, model)
    yield from _extras(record)


def _trust(record: Record) -> str:
    """How much the machine was the bench's own."""
    disturbed = sum(sample.other_cores > DISTURBED_CORES for sample in record.samples)
    return (
        f"Other processes kept more than {DISTURBED_CORES:g} cores busy during {disturbed} of the "
        f"{len(record.samples)} measured runs, also when repeated; the tables say which. Where that is many, run it "
        "again on a quiet machine."
    )


def _model_tables(record: Record, model: str) -> Iterable[str]:
    yield from _heading("Texts per second (lowest to highest round)")
    yield from _by_arm_and_workload(record, model, _speed_cell)
    yield from _heading("Latency of a request, p50 / p99, in seconds")
    yield from _by_arm_and_workload(record, model, _latency_cell)
    yield from _heading("Peak memory, MiB")
    yield from _by_arm_and_workload(record, model, _memory_cell)
    yield from _heading("CPU seconds of the arm per 1,000 texts")
    yield from _by_arm_and_workload(record, model, _cpu_cell)
    yield from _heading("Share of one core that the load generator took, and labels that agree with the first arm's")
    yield from _by_arm_and_workload(record, model, _check_cell)
    yield from _heading("Cores that other processes kept busy during a run, at worst")
    yield from _by_arm_and_workload(record, model, _disturbance_cell)
    yield from _heading("Sizes of the runs")
    yield from _table(
        ["workload", "requests in flight", "texts a request", "texts a run", "rounds"],
        [[name, *_run_size(record, model, name)] for name in record.workloads(model)],
    )
    if limits := record.limits.get(model):
        yield from _heading("The limit")
        flops = record.median(model, "tweets-8x100", "engine", lambda sample: sample.useful_flop_per_s or 0)
        if flops:
            yield (
                f"The engine does {flops / 1e9:.0f} useful GFLOP/s on tweets. The model's own matrix products, alone "
                f"and at the best of several sizes, reach {_median_gflop(limits, 'torch_linear')} in the same run by "
                f"the kernels that torch takes by itself, and {_median_gflop(limits, 'onednn')} by oneDNN's, which the "
                "engine asks for. How far they are apart depends on the processor; the other arms leave it to torch. "
                f"In int8, quantising included, they reach {_median_gflop(limits, 'int8')}: "
                f"{_int8_gain(limits):.2f} times float32's, which is what int8 can gain here at most."
            )
    if sweeps := record.sweeps.get(model):
        yield from _heading("Sweep of the pipeline's batch size, texts/s")
        sizes = list(next(iter(sweeps.values())))
        yield from _table(
            ["texts", *sizes], [[kind, *(f"{curve[size]:.1f}" for size in sizes)] for kind, curve in sweeps.items()]
        )
    if tunings := record.tunings.get(model):
        yield from _heading("Settings of the peers")
        names = list(next(iter(tunings.values())))
        rows = [[peer, *(str(tuning[name]) for name in names)] for peer, tuning in tunings.items()]
        yield from _table(["peer and texts", *names], rows)


def _heading(title: str) -> Iterable[str]:
    return ("", f"### {title}", "")


def _median_gflop(limits: list[dict[str, float]], kernels: str) -> str:
    return f"{statistics.median(limit[kernels] for limit in limits) / 1e9:.0f}"


def _int8_gain(limits: list[dict[str, float]]) -> float:
    return statistics.median(limit["int8"] / limit["onednn"] for limit in limits)


def _run_size(record: Record, model: str, name: str) -> list[str]:
    samples = [s for s in record.samples if s.model == model and s.workload == name]
    workload = WORKLOADS[name]
    num_texts = max(sample.num_texts for sample in samples)
    rounds = record.num_rounds(model, name)
    in_flight = min(workload.clients, num_texts // workload.texts_per_request)
    return [str(in_flight), str(workload.texts_per_request), str(num_texts), str(rounds)]


def _extras(record: Record) -> Iterable[str]:
    if scale := record.scale:
        yield from ("", "## Many texts", "")
        yield (
            "The engine with the bundled model, 100 texts a request from 8 threads: "
            f"{scale['few_texts_per_s']:.1f} texts/s at {scale['few_texts']:,.0f} texts and "
            f"{scale['many_texts_per_s']:.1f} at {scale['many_texts']:,.0f}; "
            f"{scale['rss_before_mib']:.0f} MiB before and {scale['rss_after_mib']:.0f} MiB after."
        )
    if recall := record.macro_recall:
        yield from ("", "## Precision", "")
        yield (
            "Macro recall of the bundled model on the texts used here: "
            + ", ".join(f"{value:.4f} by {arm}" for arm, value in recall.items())
            + "."
        )
    if record.failures:
        yield from ("", "## What could not be measured", "")
        for name, reason in record.failures.items():
            yield from (f"{name}:", "", "```", reason, "```", "")


def _by_arm_and_workload(record: Record, model: str, cell: Cell) -> Iterable[str]:
    workloads = record.workloads(model)
    rows = [[arm, *(cell(record, model, workload, arm) for workload in workloads)] for arm in record.arms(model)]
    return _table(["arm", *workloads], rows)


def _speed_cell(record: Record, model: str, workload: str, arm: str) -> str:
    speeds = [sample.texts_per_s for sample in record.of(model, workload, arm)]
    if not speeds:
        return ""
    return f"{statistics.median(speeds):.1f} ({min(speeds):.1f} to {max(speeds):.1f})"


def _median_cell(
    record: Record, model: str, workload: str, arm: str, value: Callable[[Sample], float], form: str
) -> str:
    median = record.median(model, workload, arm, value)
    return "" if median is None else format(median, form)


def _latency_cell(record: Record, model: str, workload: str, arm: str) -> str:
    p50 = _median_cell(record, model, workload, arm, lambda sample: sample.p50_s, ".3f")
    return p50 and f"{p50} / {_median_cell(record, model, workload, arm, lambda sample: sample.p99_s, '.3f')}"


def _memory_cell(record: Record, model: str, workload: str, arm: str) -> str:
    return _median_cell(record, model, workload, arm, lambda sample: sample.peak_rss_mib, ".0f")


def _cpu_cell(record: Record, model: str, workload: str, arm: str) -> str:
    return _median_cell(record, model, workload, arm, lambda sample: 1000 * sample.cpu_s / sample.num_texts, ".2f")


def _disturbance_cell(record: Record, model: str, workload: str, arm: str) -> str:
    samples = record.of(model, workload, arm)
    return format(max(sample.other_cores for sample in samples), ".2f") if samples else ""


def _check_cell(record: Record, model: str, workload: str, arm: str) -> str:
    share = _median_cell(record, model, workload, arm, lambda sample: sample.loadgen_cpu_share, ".1%")
    return share and f"{share}, {_median_cell(record, model, workload, arm, lambda sample: sample.agreement, '.1%')}"


def _table(head: list[str], rows: list[list[str]]) -> Iterable[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else CACHE / "record.json"
    write_report(Record.read(path), RESULTS)


if __name__ == "__main__":
    main()
