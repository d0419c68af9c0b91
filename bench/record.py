"""What a run of the bench has measured so far, kept on disk after every step so that a stop loses nothing."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.arms import Measurement


@dataclass(frozen=True)
class Sample:
    """One measured run of one arm. Latencies are of requests; `agreement` is with the labels of the first arm run.

    `other_cores` were kept busy by processes outside the bench: a figure is as good as that is small.
    """

    model: str
    workload: str
    arm: str
    repeat: int
    num_texts: int
    num_requests: int
    texts_per_s: float
    p50_s: float
    p99_s: float
    peak_rss_mib: float
    cpu_s: float
    loadgen_cpu_share: float
    agreement: float
    other_cores: float
    useful_flop_per_s: float | None = None

    @classmethod
    def of(
        cls, cell: tuple[str, str, str], repeat: int, measured: Measurement, reference: list[str], flop: int | None
    ) -> Sample:
        """From a measurement; `cell` is model, workload and arm, `flop` the useful operations of its texts."""
        num_texts = len(measured.labels)
        # A serial arm may have run only the first of the requests.
        same = sum(label == other for label, other in zip(measured.labels, reference, strict=False))
        return cls(
            *cell,
            repeat=repeat,
            num_texts=num_texts,
            num_requests=len(measured.latencies_s),
            texts_per_s=num_texts / measured.elapsed_s,
            p50_s=percentile(measured.latencies_s, 50),
            p99_s=percentile(measured.latencies_s, 99),
            peak_rss_mib=measured.peak_rss_mib,
            cpu_s=measured.cpu_s,
            loadgen_cpu_share=measured.loadgen_cpu_s / measured.elapsed_s,
            other_cores=measured.other_cores,
            agreement=same / min(num_texts, len(reference)),
            useful_flop_per_s=flop / measured.elapsed_s if flop else None,
        )


def percentile(values: list[float], percent: int) -> float:
    """The value that `percent` of the values do not exceed; the largest where there are few."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-percent * len(ordered) // 100) - 1)]


@dataclass
class Record:
    """Everything a report needs.

    Attributes:
        command: what was typed.
        machine: hardware and versions.
        samples: all measured runs.
        limits: FLOP/s of the model's matrix products by each kind of kernels, per model one per repeat,
            the mean of before and after the engine's run.
        sweeps: per model and kind of text, texts/s of the pipeline by batch size.
        tunings: per model and peer, its batching settings.
        failures: per arm, why it could not be measured.
        scale: texts/s and memory of the engine at few and at many texts.
        macro_recall: of the bundled model, by arm.
    """

    command: str
    machine: dict[str, str]
    samples: list[Sample] = field(default_factory=list)
    limits: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    sweeps: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    tunings: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    scale: dict[str, float] = field(default_factory=dict)
    macro_recall: dict[str, float] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write all of it, whole or not at all."""
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self)))
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read what `write` wrote."""
        fields = json.loads(path.read_text())
        return cls(**fields | {"samples": [Sample(**sample) for sample in fields["samples"]]})

    def of(self, model: str, workload: str, arm: str) -> list[Sample]:
        """The runs of one cell."""
        return [s for s in self.samples if (s.model, s.workload, s.arm) == (model, workload, arm)]

    def median(self, model: str, workload: str, arm: str, value: Callable[[Sample], float]) -> float | None:
        """The median over a cell's runs; None if there are none."""
        samples = self.of(model, workload, arm)
        return statistics.median(map(value, samples)) if samples else None

    def speed(self, model: str, workload: str, arm: str) -> float | None:
        """The median texts/s of a cell."""
        return self.median(model, workload, arm, lambda sample: sample.texts_per_s)

    def ratio(self, model: str, over: tuple[str, str], under: tuple[str, str]) -> float | None:
        """The median, over the rounds, of the texts/s of one cell (workload, arm) over those of another.

        Within a round, for a machine may be faster in one than in the next.
        """
        lower = {sample.repeat: sample.texts_per_s for sample in self.of(model, *under)}
        upper = {sample.repeat: sample.texts_per_s for sample in self.of(model, *over)}
        ratios = [upper[repeat] / lower[repeat] for repeat in upper.keys() & lower.keys()]
        return statistics.median(ratios) if ratios else None

    def add_commit(self, commit: str) -> None:
        """Say that what comes now was measured at this commit."""
        if not self.machine["commit"].endswith(commit):
            self.machine["commit"] += f", then {commit}"

    def forget(self, models: Iterable[str], workloads: Iterable[str], arms: Iterable[str]) -> None:
        """Drop the samples of these arms on these workloads with these models, and the limits beside them."""
        cells = set(itertools.product(models, workloads, arms))
        self.samples = [s for s in self.samples if (s.model, s.workload, s.arm) not in cells]
        for model in [model for model in self.limits if (model, "tweets-8x100", "engine") in cells]:
            del self.limits[model]

    def num_rounds(self, model: str, workload: str) -> int:
        """Rounds begun so far; a run that adds to this one counts on from here."""
        rounds = [s.repeat for s in self.samples if (s.model, s.workload) == (model, workload)]
        return 1 + max(rounds, default=-1)

    def models(self) -> list[str]:
        """Models that were measured, in order."""
        return _in_order(sample.model for sample in self.samples)

    def workloads(self, model: str) -> list[str]:
        """Workloads that were measured with a model, in order."""
        return _in_order(sample.workload for sample in self.samples if sample.model == model)

    def arms(self, model: str) -> list[str]:
        """Arms that were measured with a model, in order."""
        return _in_order(sample.arm for sample in self.samples if sample.model == model)


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
