"""A file to score, the command that scores it, and that command in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NUM_ROWS = 3000
SCORE = [sys.executable, "-m", "batch_client.cli"]


def write_rows(path: Path, num_rows: int = NUM_ROWS) -> Path:
    """A CSV file of an id and a review in each row, no two of which are equal."""
    path.write_text("id,review\n" + "".join(f"{number},text number {number}\n" for number in range(num_rows)))
    return path


def command(source: Path, url: str, *further: str, out: Path | None = None) -> list[str]:
    """The arguments that score the reviews of `source` into `out`, by default o.csv beside it."""
    out = out or source.with_name("o.csv")
    return ["score", str(source), "--text-column", "review", "--url", url, "--out", str(out), *further]


def start(arguments: list[str], **options: Any) -> subprocess.Popen[str]:
    """The command in a process of its own; nobody reads what it says unless `options` say so."""
    return subprocess.Popen([*SCORE, *arguments], text=True, **{"stderr": subprocess.DEVNULL, **options})


def start_and_wait(arguments: list[str], out: Path, num_checkpoints: int = 2) -> subprocess.Popen[str]:
    """The command in a process of its own, once it has made so many checkpoints with rows, or has ended."""
    process = start(arguments, stderr=subprocess.PIPE)
    journal = out.with_name(out.name + ".partial") / "journal.jsonl"
    while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > num_checkpoints):
        time.sleep(0.01)
    return process


def kill_midway(arguments: list[str], out: Path, num_checkpoints: int = 2) -> None:
    """Kill the command once it has made so many checkpoints with rows."""
    process = start_and_wait(arguments, out, num_checkpoints)
    process.kill()
    process.communicate()
