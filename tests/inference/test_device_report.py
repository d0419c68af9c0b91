"""What a start says about its device: a CPU for real, a GPU with stand-ins for the card, the driver and the clock."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from batch_inference import device_report
from batch_inference.device_report import report_device
from batch_inference.engine import Engine
from tests.inference.slow_gpu import SlowGpu

DRIVER = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (root@host)\nGCC version: 13"
)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> SlowGpu:
    gpu = SlowGpu()
    for module in ("tuning", "device_report"):
        monkeypatch.setattr(f"batch_inference.{module}.time", gpu)
    properties = SimpleNamespace(name="NVIDIA RTX PRO 6000", major=12, minor=0, total_memory=96 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: setattr(gpu, "now_s", gpu.now_s + 0.00033))
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, dtype, **where: empty(*size, dtype=dtype))
    monkeypatch.setattr(Path, "read_text", lambda path: DRIVER)
    says(monkeypatch, "CC status: ON\n")
    return gpu


def says(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """What `nvidia-smi conf-compute -f` prints."""
    monkeypatch.setattr(device_report.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=answer))


def test_a_gpu_is_described(gpu: SlowGpu) -> None:
    gpu.notes.choices.append("Passes of up to 8192 tokens.")
    report = report_device(gpu)
    assert (report.name, report.driver, report.memory) == ("NVIDIA RTX PRO 6000", "580.65.06", 96)
    assert (report.compute_capability, report.is_confidential) == ("12.0", True)
    assert report.copy_microseconds == pytest.approx(
        {"1 KB there": 330, "1 KB back": 330, "130 KB there": 330, "130 KB back": 330}
    )
    assert report.launch_microseconds == pytest.approx({"eager": 500})
    # The host's millisecond a pass is more than the device's work in the first, less than it in the others.
    assert report.tokens_per_second["256"] < 256_000
    assert report.tokens_per_second["16384"] == pytest.approx(1e6, rel=0.02)
    assert report.choices == ["Passes of up to 8192 tokens."]


def test_it_is_logged_as_one_block(gpu: SlowGpu, caplog: pytest.LogCaptureFixture) -> None:
    gpu.notes.choices.append("Passes of up to 8192 tokens.")
    report_device(gpu)
    (record,) = caplog.records
    # The SDK shows nothing less.
    assert record.levelno == logging.WARNING
    lines = record.getMessage().splitlines()
    assert lines[:2] == [
        "The device:",
        f"  NVIDIA RTX PRO 6000, driver 580.65.06, torch {torch.__version__}, confidential computing on",
    ]
    assert "  a copy takes: 1 KB there: 330 us, 1 KB back: 330 us, 130 KB there: 330 us, 130 KB back: 330 us" in lines
    assert lines[-1] == "  Passes of up to 8192 tokens."


@pytest.mark.parametrize(("answer", "expected"), [("CC status: OFF", False), ("Not supported", None)])
def test_whether_it_is_confidential_is_said_only_if_known(
    answer: str, expected: bool | None, gpu: SlowGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, answer)
    assert report_device(gpu).is_confidential is expected


@pytest.mark.parametrize("error", [FileNotFoundError("nvidia-smi"), subprocess.TimeoutExpired("nvidia-smi", 5)])
def test_a_machine_without_nvidia_s_tools_is_described_without_them(
    error: Exception, gpu: SlowGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    def no_file(path: Path) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(device_report.subprocess, "run", fail)
    monkeypatch.setattr(Path, "read_text", no_file)
    report = report_device(gpu)
    assert (report.driver, report.is_confidential) == (None, None)


def test_sizes_that_do_not_fit_are_left_out(gpu: SlowGpu) -> None:
    gpu.num_tokens_that_fit = 2000
    assert report_device(gpu).tokens_per_second.keys() == {"256", "1024"}


def test_a_cpu_is_described_by_what_the_start_found_anyway(engine: Engine) -> None:
    report = engine.model.notes.device
    assert report is not None
    assert report.name
    assert report.torch_version == torch.__version__
    assert report.threads >= 1
    assert list(report.tokens_per_second) == ["192"]
    assert report.choices[0].startswith("The pass without padding: probabilities within ")
    assert (report.driver, report.copy_microseconds, report.launch_microseconds) == (None, {}, {})
