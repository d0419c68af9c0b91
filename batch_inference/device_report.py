"""What a device is and does, told once it is known: in the log of a start and in `/batch-stats`.

The first instance on a kind of GPU tells here what no test without one can.
"""

from __future__ import annotations

import logging
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from batch_inference.errors import DeviceOutOfMemoryError
from batch_inference.forward.replay import ReplayedForward
from batch_inference.model import GIB, EncoderModel
from batch_inference.start_notes import DeviceReport
from batch_inference.token_rows import TokenRows
from batch_inference.tuning import rows_of_tweets, seconds_a_pass

logger = logging.getLogger(__name__)

PASS_TOKENS: Final = (256, 1024, 4096, 16384)
COPY_BYTES: Final = {"1 KB": 1024, "130 KB": 130 * 1024}
"""What a pass of a few texts takes to the device, and one of 16,384 tokens."""
REPEATS: Final = 20
SMI_TIMEOUT_S: Final = 5


def report_device(model: EncoderModel) -> DeviceReport:
    """Measure the device of a model that is ready to serve, and log what was found. On a CPU nothing more is measured.

    Raises:
        DeviceLostError: the device fails at everything from now on.
    """
    report = _cpu_report(model) if model.device == "cpu" else _gpu_report(model)
    # The SDK's process shows nothing below a warning, and what a GPU says has to be seen.
    level = logging.INFO if model.device == "cpu" else logging.WARNING
    logger.log(level, "The device:\n%s", "\n".join(f"  {line}" for line in report.lines()))
    return report


def _cpu_report(model: EncoderModel) -> DeviceReport:
    return DeviceReport(
        name=_processor(),
        torch_version=torch.__version__,
        threads=torch.get_num_threads(),
        tokens_per_second={str(tokens): speed for tokens, speed in model.notes.tokens_per_second.items()},
        choices=model.notes.choices,
    )


def _gpu_report(model: EncoderModel) -> DeviceReport:
    properties = torch.cuda.get_device_properties(model.device)
    return DeviceReport(
        name=properties.name,
        torch_version=torch.__version__,
        threads=torch.get_num_threads(),
        driver=_driver(),
        memory=properties.total_memory / GIB,
        compute_capability=f"{properties.major}.{properties.minor}",
        is_confidential=_is_confidential(),
        copy_microseconds=copy_microseconds(model.device),
        launch_microseconds=launch_microseconds(model, rows_of_tweets(PASS_TOKENS[0])),
        tokens_per_second=_speeds(model),
        choices=model.notes.choices,
    )


def _processor() -> str:
    """The CPU's name, as Linux has it."""
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _driver() -> str | None:
    """The version of the GPU's driver, as its kernel module has it."""
    try:
        found = re.search(r"\s(\d+\.\d+[.\d]*)\s", Path("/proc/driver/nvidia/version").read_text())
    except OSError:
        return None
    return found[1] if found else None


def _is_confidential() -> bool | None:
    try:
        query = ["nvidia-smi", "conf-compute", "-f"]
        answer = subprocess.run(query, capture_output=True, text=True, timeout=SMI_TIMEOUT_S, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"CC status:\s*(ON|OFF)", answer)
    return found[1] == "ON" if found else None


def copy_microseconds(device: str) -> dict[str, float]:
    """Microseconds until a copy has arrived, through pinned memory as the copies of passes."""
    figures = {}
    for size, num_bytes in COPY_BYTES.items():
        host = torch.empty(num_bytes, dtype=torch.uint8, pin_memory=True)
        there = torch.empty(num_bytes, dtype=torch.uint8, device=device)
        for way, source, target in (("there", host, there), ("back", there, host)):

            def copy(source: torch.Tensor = source, target: torch.Tensor = target) -> None:
                target.copy_(source, non_blocking=True)
                torch.cuda.synchronize(device)

            figures[f"{size} {way}"] = _median_us(copy)
    return figures


def launch_microseconds(model: EncoderModel, rows: TokenRows) -> dict[str, float]:
    """Microseconds until a pass of these rows is launched, call by call and, if the model has that, as a replay."""
    models = {"eager": model}
    if isinstance(model.forward, ReplayedForward):
        models = {"eager": model.on(model.forward.eager, model.precision), "replay": model}
    figures = {}
    for way, launching in models.items():
        took_us = []
        for _ in range(REPEATS):
            prepared = launching.prepare(rows)
            started_at = time.perf_counter()
            launched = launching.launch(prepared)
            took_us.append(1e6 * (time.perf_counter() - started_at))
            launched.result()
        figures[way] = statistics.median(took_us)
    return figures


def _speeds(model: EncoderModel) -> dict[str, float]:
    figures: dict[str, float] = {}
    for num_tokens in PASS_TOKENS:
        rows = rows_of_tweets(num_tokens)
        try:
            model.answers(rows)
            figures[str(num_tokens)] = rows.num_tokens / seconds_a_pass(model, rows)
        except DeviceOutOfMemoryError:
            break
    return figures


def _median_us(call: Callable[[], object]) -> float:
    took_us = []
    for _ in range(REPEATS):
        started_at = time.perf_counter()
        call()
        took_us.append(1e6 * (time.perf_counter() - started_at))
    return statistics.median(took_us)
