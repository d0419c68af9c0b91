"""The plots of a run: per model how fast each arm is and how long a request takes, and the pipeline's sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.record import Record, Sample

OURS = {"engine", "engine-int8", "service"}
OUR_COLOUR, OTHER_COLOUR = "#1f5fa8", "#b8b8b8"


def draw_plots(record: Record, folder: Path) -> list[Path]:
    """Draw all plots; the paths of the files."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for model in record.models():
        drawn.append(
            _bars(record, model, "texts per second", lambda s: s.texts_per_s, folder / f"{model}-throughput.png")
        )
        drawn.append(_bars(record, model, "p99 of a request, seconds", lambda s: s.p99_s, folder / f"{model}-p99.png"))
        if model in record.sweeps:
            drawn.append(_sweep(record, model, folder / f"{model}-pipeline-sweep.png"))
    return drawn


def _bars(record: Record, model: str, quantity: str, value: Callable[[Sample], float], path: Path) -> Path:
    """One panel per workload, one bar per arm, a dot per round."""
    from matplotlib import pyplot

    workloads = record.workloads(model)
    figure, panels = pyplot.subplots(1, len(workloads), figsize=(3.6 * len(workloads), 3.4), squeeze=False)
    for panel, workload in zip(panels[0], workloads, strict=True):
        arms = [arm for arm in record.arms(model) if record.of(model, workload, arm)][::-1]
        medians = [record.median(model, workload, arm, value) for arm in arms]
        panel.barh(arms, medians, color=[OUR_COLOUR if arm in OURS else OTHER_COLOUR for arm in arms])
        for arm in arms:
            values = [value(sample) for sample in record.of(model, workload, arm)]
            panel.plot(values, [arm] * len(values), "k.", markersize=3)
        panel.set(title=workload, xlabel=quantity)
    figure.suptitle(model)
    return _save(figure, path)


def _sweep(record: Record, model: str, path: Path) -> Path:
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(4.5, 3.2))
    for kind, curve in record.sweeps[model].items():
        panel.plot(list(curve), list(curve.values()), "o-", label=kind)
    panel.set(title=f"{model}: pipeline", xlabel="batch size", ylabel="texts per second", ylim=0)
    panel.legend()
    return _save(figure, path)


def _save(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path
