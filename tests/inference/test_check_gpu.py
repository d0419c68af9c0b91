"""`make check-gpu`: its rules on made-up figures, and the whole of it on a CPU, where no figure means anything."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from tools.check_gpu.parts import PARTS, Part
from tools.check_gpu.passes import attentions
from tools.check_gpu.processes import run_parts
from tools.check_gpu.rules import SIZE, decide
from tools.check_gpu.wheels import NEEDED, pinned

ROOT = Path(__file__).resolve().parent.parent.parent


def made_up(
    flash_us: float = 100, apart_ms: float = 10.0, two: float = 1000, padded_ms: float = 10.0, difference: float = 1e-3
) -> dict[str, Any]:
    passes = {
        "packed": 9.0, "packed, GELU apart": apart_ms, "packed, biases not folded": apart_ms, "transformers": padded_ms,
    }  # fmt: skip
    return {
        "attention": {
            "tweets/flash": {"us": flash_us}, "tweets/efficient": {"us": 80},
            "64/flash": {"us": 100}, "64/efficient": {"us": 100},
            "256/flash": {"us": 100}, "256/efficient": {"us": 120},
        },
        "correctness": {"packed": {"max_difference": difference}},
        "passes": {f"float16/tweets/{SIZE}/{name}": {"device_ms": ms} for name, ms in passes.items()},
        "depth": {"2048/1": {"tokens_per_s": 1000}, "2048/2": {"tokens_per_s": two}, "seconds": 3.0},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("figures", "verdicts"),
    [
        ({}, ["efficient", "from 256 tokens on", "keep", "keep", "one", "half weights without autocast's casts"]),
        ({"flash_us": 90}, ["flash", ...]),
        ({"apart_ms": 9.1}, [..., ..., "drop", "drop"]),
        ({"two": 1100}, [..., ..., ..., ..., "two"]),
        ({"padded_ms": 11.8}, [..., ..., ..., ..., ..., "ship it"]),
        ({"padded_ms": 30.0, "difference": 6e-3}, [..., ..., ..., ..., ..., "half weights without autocast's casts"]),
    ],
)
def test_the_rules_decide_by_the_figures(figures: dict[str, float], verdicts: list[Any]) -> None:
    decided = [decision.verdict for decision in decide(made_up(**figures))]
    assert all(verdict is ... or found == verdict for verdict, found in zip(verdicts, decided, strict=False))


def test_what_was_not_measured_decides_nothing() -> None:
    assert {decision.verdict for decision in decide({"passes": {"error": "no such kernel"}})} == {"not measured"}


REAL_WEIGHTS = {
    "launches": {
        "1024/eager": {"beside_busy_threads_us": 3000.0}, "1024/replay": {"beside_busy_threads_us": 300.0},
    },
    "recall": {"float32": {"macro_recall": 0.70}, "float16": {"macro_recall": 0.699}},
    "correctness": {"packed": {"max_difference": 1e-3, "batched_against_alone": 1e-3}},
    "out_of_memory": {"max_difference": 1e-3},
    "soak": {"texts_per_s": [900.0, 1000.0, 990.0], "memory_gib": [1.0, 1.2, 1.2]},
    "without_cublaslt": {f"{SIZE}/packed": {"device_ms": 9.0}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("question", "part", "worse", "good", "bad"),
    [
        ("replay", "launches", {"1024/replay": {"beside_busy_threads_us": 2000.0}}, "replay", "CUDA_GRAPHS=false"),
        ("float16", "recall", {"float16": {"macro_recall": 0.69}}, "float16", "PRECISION=float32"),
        ("a text alone", "correctness", {"packed": {"batched_against_alone": 0.01}}, "yes", "no: look for the cause"),
        ("with little memory", "out_of_memory", {"max_difference": 0.1}, "yes", "no: look for the cause"),
        ("a minute of load", "soak", {"texts_per_s": [900.0, 1000.0, 700.0]}, "yes", "no: look for the cause"),
        ("a minute of load", "soak", {"memory_gib": [1.0, 1.2, 1.9]}, "yes", "no: look for the cause"),
        ("DISABLE_ADDMM", "without_cublaslt", {f"{SIZE}/packed": {"device_ms": 7.0}}, "leave it", "set it"),
    ],
)
def test_real_weights_and_real_load_decide(
    question: str, part: str, worse: dict[str, Any], good: str, bad: str
) -> None:
    figures = made_up() | REAL_WEIGHTS
    changed = figures | {part: figures[part] | worse}
    assert [verdict_of(question, report) for report in (figures, changed, {})] == [good, bad, "not measured"]


def verdict_of(question: str, report: dict[str, Any]) -> str:
    (verdict,) = [one.verdict for one in decide(report) if one.question.startswith(question)]
    return verdict


WORKER = """
import json, os, subprocess, sys, time
print(json.dumps({"is_ready": True}), flush=True)
for line in sys.stdin:
    module, name = json.loads(line)
    if name == "hangs":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open("child", "w").write(str(child.pid))
        time.sleep(600)
    if name == "crashes":
        print("an illegal access", file=sys.stderr, flush=True)
        os._exit(3)
    answer = {"error": "RuntimeError: no such kernel"} if name == "fails" else {"pid": os.getpid()}
    print(json.dumps(answer | {"setting": os.environ.get("SETTING")}), flush=True)
"""


def test_the_rest_goes_on_whatever_a_part_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.check_gpu.processes.ROOT", tmp_path)
    parts = [
        Part("first", "", 60), Part("second", "", 60), Part("fails", "", 60), Part("third", "", 60),
        Part("crashes", "", 60), Part("hangs", "", 0.5), Part("fourth", "", 60),
        Part("apart", "", 60, environment={"SETTING": "1"}), Part("too long", "", 600, needs_s=590),
    ]  # fmt: skip
    written: list[list[str]] = []
    report = run_parts(parts, [sys.executable, "-c", WORKER], 500, lambda report: written.append(list(report)))
    names = [part.name for part in parts]
    # What is known is written after each part.
    assert written == [names[: number + 1] for number in range(len(names))]
    assert report["fails"]["error"] == "RuntimeError: no such kernel"
    assert report["crashes"]["error"].startswith("its process ended with 3: an illegal access")
    assert report["hangs"]["error"].startswith("it was killed after 0 s")
    assert has_ended(int((tmp_path / "child").read_text()))
    assert report["too long"] == {"left_out": "no time left"}
    assert report["apart"]["setting"] == "1"
    # One process for as long as all is well, and a new one after each fault.
    processes = [report[name]["pid"] for name in ("first", "second", "third", "fourth")]
    assert processes[0] == processes[1]
    assert len(set(processes)) == 3


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_all_of_it_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.check_gpu.processes.ROOT", tmp_path)
    parts = [Part("first", "", 60, 0), Part("hangs", "", 600, 0), Part("left", "", 60, 0.1)]
    report = run_parts(parts, [sys.executable, "-c", WORKER], 1.5, lambda report: None)
    assert "error" in report["hangs"]
    assert report["left"] == {"left_out": "no time left"}


def test_every_part_exists() -> None:
    for part in PARTS:
        assert callable(getattr(importlib.import_module(f"tools.check_gpu.{part.module}"), part.name))


def test_every_wheel_is_in_the_version_of_the_image() -> None:
    assert len(pinned((ROOT / "constraints.txt").read_text())) == len(NEEDED)


def test_no_attention_is_compared_where_it_cannot_run() -> None:
    run = SimpleNamespace(is_dry=False)
    assert attentions(run, torch.float32).keys() == {"efficient"}
    assert attentions(run, torch.float16).keys() == {"efficient", "flash"}


@pytest.mark.slow
def test_it_runs_dry_from_end_to_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.check_gpu", "--dry", "--out", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr[-3000:]
    report = json.loads((tmp_path / "dry.json").read_text())
    assert not [part for part, figures in report.items() if "error" in figures or "left_out" in figures]
    assert report["correctness"]["packed"]["max_difference"] < 1e-5
    assert report["lost_device"]["exit_code"] == 70
    assert report["out_of_memory"]["budget_after"] < report["out_of_memory"]["budget"]
    assert report["out_of_memory"]["max_difference"] < 1e-4
    assert "| ship the packed pass" in (tmp_path / "dry.md").read_text()
