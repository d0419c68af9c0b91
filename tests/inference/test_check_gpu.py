"""`make check-gpu`: its rules on made-up figures, and the whole of it on a CPU, where no figure means anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tools.check_gpu.passes import attentions
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
