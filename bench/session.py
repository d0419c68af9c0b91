"""One run of the bench: every arm in turn on every workload, several times over, all within one process tree."""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench.arms import (
    BEFORE,
    HTTP_ARMS,
    IN_PROCESS_ARMS,
    ROOT,
    RUNTIME_ARMS,
    Arm,
    ArmError,
    HttpArm,
    InProcessArm,
    Measurement,
)
from bench.checkpoints import checkpoint
from bench.limit import ModelShape
from bench.machine import load_before
from bench.quiet import DISTURBED_CORES, wait_until_quiet
from bench.record import Record, Sample
from bench.scale import measure_recall, measure_scale
from bench.servers import SERVERS
from bench.sweep import sweep_pipeline
from bench.tuning import Tuning, read_tuned
from bench.workloads import TextKind, Workload
from rehearsal.texts import LabelledText, mixed_texts, tweet_texts

INT8_ARM = "engine-int8"
ALL_IN_PROCESS_ARMS = (*IN_PROCESS_ARMS, INT8_ARM, *RUNTIME_ARMS)
ARMS_BEFORE = tuple(f"{name}{BEFORE}" for name in ("engine", INT8_ARM, "service"))
"""The same of another checkout, to see what changed in one run."""
INT8_ARMS = (INT8_ARM, *(name for name in RUNTIME_ARMS if name.endswith("-int8")))
SERIAL_ARMS = ("naive", "pipeline")
SERIAL_SHARE = 0.25
"""These answer one request after the other, at the same speed however many wait: a part of the requests will do."""

WORKLOADS_OF = dict.fromkeys(IN_PROCESS_ARMS, ("tweets-8x100", "mixed-8x100")) | dict.fromkeys(
    (INT8_ARM, *RUNTIME_ARMS), ("tweets-8x100",)
)
"""Small requests are about the way to the model, which arms without a server do not have; the last are one ratio."""


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        models: by name, in this order.
        workloads: in this order.
        arms: by name; what is not installed is reported as a failure.
        repeats: rounds over all arms.
        minutes_per_phase: no workload begins a further round that would probably end after this; a phase is one model
            with one kind of text.
        threads: torch threads of every arm.
        scale_texts: texts of the long run of the engine; 0 for none.
        warm_up_texts: texts each arm classifies before anything is measured, by model.
        texts: the labelled texts to draw from.
        folder: where logs and the record go.
        before: another checkout of this repository, whose are the arms that end in `-before`.
    """

    models: tuple[str, ...]
    workloads: tuple[Workload, ...]
    arms: tuple[str, ...]
    repeats: int
    minutes_per_phase: float
    threads: int
    scale_texts: int
    warm_up_texts: dict[str, int]
    texts: list[LabelledText]
    folder: Path
    before: Path | None = None


class Session:
    """Measures one model after the other and keeps the record on disk up to date."""

    def __init__(self, options: Options, record: Record) -> None:
        self._options = options
        self._record = record
        self._tweets = [labelled.text for labelled in options.texts]

    def run(self) -> None:
        """Measure everything; a failing arm is noted and left out from then on."""
        for model in self._options.models:
            self._run_model(model)

    def _run_model(self, model: str) -> None:
        """One phase for each kind of text, as the peers' best settings differ between them."""
        for kind in dict.fromkeys(workload.kind for workload in self._options.workloads):
            self._run_phase(model, kind)

    def _run_phase(self, model: str, kind: TextKind) -> None:
        """Start all arms, run the workloads with this kind of text, end all arms."""
        with contextlib.ExitStack() as opened:
            arms: dict[str, Arm] = {}
            # In this order: the peers' chunk comes from the sweep of the pipeline.
            for names in (ALL_IN_PROCESS_ARMS, HTTP_ARMS):
                for name in [name for name in self._options.arms if name.removesuffix(BEFORE) in names]:
                    if arm := self._start(model, kind, name):
                        opened.callback(arm.close)
                        arms[name] = arm
                if names is ALL_IN_PROCESS_ARMS and isinstance(pipeline := arms.get("pipeline"), InProcessArm):
                    self._sweep(model, kind, pipeline)
            limit: InProcessArm | None = None
            if "engine" in arms and kind == "tweets":
                limit = InProcessArm("limit", checkpoint(model), self._options.threads, self._log(model, "limit"))
                opened.callback(limit.close)
            self._run_rounds(model, kind, arms, limit)
            if model == "bundled" and kind == "tweets" and isinstance(engine := arms.get("engine"), InProcessArm):
                self._run_extras(engine, [arms[name] for name in INT8_ARMS if name in arms])

    def _start(self, model: str, kind: TextKind, name: str) -> Arm | None:
        """Start an arm and warm it up; None, with the reason kept, if that fails."""
        log_progress(f"{model}, {kind}: starting {name}")
        log, threads, folder = self._log(model, name), self._options.threads, checkpoint(model)
        try:
            root = self._options.before if name.endswith(BEFORE) and self._options.before else ROOT
            if name.removesuffix(BEFORE) in ALL_IN_PROCESS_ARMS:
                return self._warmed_up(InProcessArm(name, folder, threads, log, root), model, kind)
            server = SERVERS[name.removesuffix(BEFORE)]
            if not server.is_installed():
                raise ArmError(f"{name} is not installed; `python -m bench.setup {name}` says why")
            tuning = self._tuning(model, kind, name)
            if server.name == "service":
                server = replace(server, folder=root)
            else:
                self._record.tunings.setdefault(model, {})[f"{name}, {kind}"] = asdict(tuning)
            return self._warmed_up(HttpArm(server, folder, threads, tuning, log), model, kind)
        except ArmError as error:
            self._fail(model, name, error)
            return None

    def _warmed_up(self, arm: Arm, model: str, kind: TextKind) -> Arm:
        """The arm after both sizes of request, so that nothing is compiled, loaded or grown later."""
        texts = self._texts(model, kind, self._options.warm_up_texts[model])
        try:
            arm.measure([texts[start : start + 100] for start in range(0, len(texts), 100)], 4)
            if kind == "tweets":
                arm.measure([[text] for text in texts[:64]], 64)
        except ArmError:
            arm.close()
            raise
        return arm

    def _sweep(self, model: str, kind: TextKind, pipeline: InProcessArm) -> None:
        wait_until_quiet()
        curve = sweep_pipeline(pipeline, self._texts(model, kind, self._options.warm_up_texts[model]))
        log_progress(f"pipeline by batch size: {', '.join(f'{size}: {speed:.1f}/s' for size, speed in curve.items())}")
        self._record.sweeps.setdefault(model, {})[kind] = {str(size): speed for size, speed in curve.items()}
        pipeline.batch_size = max(curve, key=lambda size: curve[size])

    def _tuning(self, model: str, kind: TextKind, name: str) -> Tuning:
        """A peer's settings. The chunk is what the sweep found best: Infinity, too, runs transformers' pipeline."""
        tuning = read_tuned(model, kind, name)
        curve = self._record.sweeps.get(model, {}).get(kind)
        if not curve:
            return tuning
        return replace(tuning, chunk_size=int(max(curve, key=lambda size: curve[size])))

    def _run_rounds(self, model: str, kind: TextKind, arms: dict[str, Arm], limit: InProcessArm | None) -> None:
        deadline = time.monotonic() + 60 * self._options.minutes_per_phase
        workloads = [workload for workload in self._options.workloads if workload.kind == kind]
        took_s: dict[str, float] = {}
        first = {workload.name: self._record.num_rounds(model, workload.name) for workload in workloads}
        for repeat in range(self._options.repeats):
            for workload in workloads:
                started_at = time.monotonic()
                if repeat and started_at + took_s[workload.name] > deadline:
                    log_progress(f"{model}: no time left for round {repeat + 1} of {workload.name}")
                    continue
                self._run_round(model, workload, arms, first[workload.name] + repeat, limit)
                self._record.write(self._options.folder / "record.json")
                took_s[workload.name] = time.monotonic() - started_at

    def _run_round(
        self, model: str, workload: Workload, arms: dict[str, Arm], repeat: int, limit: InProcessArm | None
    ) -> None:
        """Every arm once on one workload, and the limit before and after the engine."""
        requests = workload.requests(self._texts(model, workload.kind, workload.num_texts[model]))
        shape = ModelShape.of(checkpoint(model))
        reference: list[str] = []
        for name in list(arms):
            if workload.name not in WORKLOADS_OF.get(name.removesuffix(BEFORE), (workload.name,)):
                continue
            arm = arms[name]
            part = requests[: max(1, round(len(requests) * SERIAL_SHARE))] if name in SERIAL_ARMS else requests
            beside = limit if (name, workload.name) == ("engine", "tweets-8x100") else None
            try:
                before = _in_quiet(beside) if beside else {}
                measured = self._measure_in_quiet(arm, part, workload.clients)
                after = _in_quiet(beside) if beside else {}
            except ArmError as error:
                self._fail(model, name, error)
                del arms[name]
                continue
            if beside:
                means = {kernels: statistics.mean((before[kernels], after[kernels])) for kernels in before}
                self._record.limits.setdefault(model, []).append(means)
            reference = reference or measured.labels
            flop = shape.useful_flop(measured.num_tokens) if measured.num_tokens else None
            sample = Sample.of((model, workload.name, name), repeat, measured, reference, flop)
            self._record.samples.append(sample)
            log_progress(f"{model} {workload.name} #{repeat + 1} {name}: {sample.texts_per_s:.1f} texts/s")

    def _measure_in_quiet(self, arm: Arm, requests: list[list[str]], clients: int) -> Measurement:
        """Measure when nothing else runs; if something did after all, once again."""
        for _ in range(2):
            wait_until_quiet()
            measured = arm.measure(requests, clients)
            if measured.other_cores <= DISTURBED_CORES:
                break
            log_progress(f"{arm.name}: others kept {measured.other_cores:.2f} cores busy")
        return measured

    def _run_extras(self, engine: InProcessArm, in_int8: list[Arm]) -> None:
        """What is measured once, on the bundled model only: many texts, and what int8 loses."""
        if self._options.scale_texts:
            self._record.scale = measure_scale(engine, self._tweets, self._options.scale_texts)
            log_progress(f"scale: {self._record.scale}")
        if in_int8:
            for arm in (engine, *in_int8):
                self._record.macro_recall[arm.name] = measure_recall(arm, self._options.texts)
            log_progress(f"macro recall: {self._record.macro_recall}")
        self._record.write(self._options.folder / "record.json")

    def _texts(self, model: str, kind: TextKind, count: int) -> list[str]:
        if kind == "tweets":
            return tweet_texts(self._tweets, count)
        return mixed_texts(self._tweets, count, checkpoint(model) / "tokenizer.json")

    def _log(self, model: str, name: str) -> Path:
        return self._options.folder / f"{model}-{name}.log"

    def _fail(self, model: str, name: str, error: ArmError) -> None:
        self._record.failures[f"{name} with {model}"] = str(error)
        log_progress(str(error))


def _in_quiet(limit: InProcessArm) -> dict[str, float]:
    wait_until_quiet()
    return limit.flop_per_s()


def log_progress(message: str) -> None:
    """Progress goes to standard error, with the time and the machine's load."""
    print(f"{time.strftime('%H:%M:%S')} (load {load_before()}) {message}", file=sys.stderr, flush=True)


def known_arms() -> Iterator[str]:
    """Every arm there is, in the order of measurement."""
    yield from ALL_IN_PROCESS_ARMS
    yield from HTTP_ARMS
    yield from ARMS_BEFORE
