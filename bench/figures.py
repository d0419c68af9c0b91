"""The ratios that the project promises, each beside its target."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from bench.arms import BEFORE, RUNTIMES
from bench.record import Record
from bench.servers import PEER_NAMES

TWEETS, SINGLES, MIXED = "tweets-8x100", "tweets-64x1", "mixed-8x100"


@dataclass(frozen=True)
class Figure:
    """A ratio and what it should be: at least the target, or at most where `is_upper_bound`."""

    name: str
    value: float
    target: float
    is_upper_bound: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the target is reached."""
        return self.value <= self.target if self.is_upper_bound else self.value >= self.target


def figures(record: Record) -> list[Figure]:
    """All figures that the run measured enough for."""
    return [figure for model in record.models() for figure in _of_model(record, model)] + list(_of_scale(record))


def _of_model(record: Record, model: str) -> Iterator[Figure]:
    is_large = model == "roberta-base"

    def ratio(name: str, over: tuple[str, str], under: tuple[str, str], target: float) -> Iterator[Figure]:
        if value := record.ratio(model, over, under):
            yield Figure(f"{model}: {name}", value, target)

    yield from ratio("engine over naive, tweets", (TWEETS, "engine"), (TWEETS, "naive"), 1.35 if is_large else 1.9)
    if is_large:
        yield from ratio("engine over naive, mixed lengths", (MIXED, "engine"), (MIXED, "naive"), 3.5)
        yield from _of_limit(record, model)
        yield from ratio("int8 engine over float32, tweets", (TWEETS, "engine-int8"), (TWEETS, "engine"), 2.0)
    for suffix, target in (("", 1.0), ("-int8", 0.95)):
        names = [f"{runtime}{suffix}" for runtime in RUNTIMES]
        speeds = {name: speed for name in names if (speed := record.speed(model, TWEETS, name))}
        if speeds:
            best = max(speeds, key=lambda name: speeds[name])
            yield from ratio(f"engine{suffix} over {best}, tweets", (TWEETS, f"engine{suffix}"), (TWEETS, best), target)
    target = 0.97 if is_large else 0.85
    yield from ratio("service over engine in process, 8 x 100", (TWEETS, "service"), (TWEETS, "engine"), target)
    target = 0.85 if is_large else 0.5
    yield from ratio("service, 64 x 1 over 8 x 100", (SINGLES, "service"), (TWEETS, "service"), target)
    for workload in record.workloads(model):
        for arm in ("engine", "engine-int8", "service"):
            name = f"{arm} over that of the checkout before, {workload}"
            yield from ratio(name, (workload, arm), (workload, f"{arm}{BEFORE}"), 0.97)
        speeds = {peer: speed for peer in PEER_NAMES if (speed := record.speed(model, workload, peer))}
        if speeds:
            best = max(speeds, key=lambda peer: speeds[peer])
            yield from ratio(f"service over best peer ({best}), {workload}", (workload, "service"), (workload, best), 1)


def _of_limit(record: Record, model: str) -> Iterator[Figure]:
    for kernels, described in (("torch_linear", "torch's own kernels"), ("onednn", "oneDNN's kernels, which are ours")):
        shares = [
            sample.useful_flop_per_s / limits[kernels]
            for sample, limits in zip(record.of(model, TWEETS, "engine"), record.limits.get(model, []), strict=False)
            if sample.useful_flop_per_s
        ]
        if shares:
            name = f"{model}: useful FLOP/s of the engine over those of its matrix products by {described}, tweets"
            yield Figure(name, statistics.median(shares), 0.85)


def _of_scale(record: Record) -> Iterator[Figure]:
    if scale := record.scale:
        many, few = f"{scale['many_texts']:,.0f}", f"{scale['few_texts']:,.0f}"
        speed = scale["many_texts_per_s"] / scale["few_texts_per_s"]
        yield Figure(f"bundled: engine's texts/s at {many} texts over that at {few}", speed, 0.95)
        memory = scale["rss_after_mib"] / scale["rss_before_mib"]
        yield Figure(f"bundled: engine's memory after {many} texts over that before", memory, 1.05, is_upper_bound=True)
    recall = record.macro_recall
    if "engine-int8" in recall:
        lost = recall["engine"] - recall["engine-int8"]
        yield Figure("bundled: macro recall lost by int8", lost, 0.005, is_upper_bound=True)
