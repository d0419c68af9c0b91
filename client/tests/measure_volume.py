"""Measures the command on many rows against a stand-in: speed, peak memory, completeness, and resuming after SIGKILL.

    python client/tests/measure_volume.py --rows 1000000
    python client/tests/measure_volume.py --rows 100000 --kills 10

Rows are the repository's own short texts repeated, with their row number appended, so that no two are equal.
`--url` measures a running service instead; its answers are then not compared with what the stand-in would say.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stand_in import prediction

_CLIENT_ALONE = "import sys; sys.modules['trio'] = None; from batch_client.cli import main; main()"
"""The command as where only the client is installed: httpcore loads trio, 4 MiB, which other tests bring along."""

TWEETS = Path(__file__).resolve().parents[2] / "texts" / "short.tsv"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--url")
    parser.add_argument("--fault-rate", type=float, default=0.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, _service(arguments.url, arguments.fault_rate) as url:
        folder = Path(name)
        _write_input(folder / "tweets.csv", arguments.rows)
        _measure(folder, url, arguments.rows, is_stand_in=arguments.url is None)
        if arguments.kills:
            _kill_and_resume(folder, url, arguments.kills)


def _write_input(path: Path, num_rows: int) -> None:
    tweets = [line.split("\t", 1)[1].rstrip("\n") for line in TWEETS.open(encoding="utf-8")]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "review"])
        for number, tweet in zip(range(num_rows), itertools.cycle(tweets)):
            writer.writerow([number, f"{tweet} {number}"])


def _measure(folder: Path, url: str, num_rows: int, is_stand_in: bool) -> None:
    started = time.monotonic()
    process = _start(folder, url, "whole.csv")
    _, status, usage = os.wait4(process.pid, 0)
    elapsed_s = time.monotonic() - started
    assert os.waitstatus_to_exitcode(status) == 0, "the run failed"
    _check(folder / "whole.csv", num_rows, is_stand_in)
    print(
        f"{num_rows:,} rows in {elapsed_s:.1f} s: {num_rows / elapsed_s:,.0f} rows/s, "
        f"peak memory {usage.ru_maxrss / 1024:.0f} MiB; complete and in order",
        flush=True,
    )


def _kill_and_resume(folder: Path, url: str, num_kills: int) -> None:
    started = time.monotonic()
    _start(folder, url, "again.csv").wait()
    whole_s = time.monotonic() - started
    chance = random.Random()
    for _ in range(num_kills):
        process = _start(folder, url, "killed.csv")
        # Long enough on average that the kills together spread over a whole run, its last steps included.
        wait_s = chance.uniform(0.5, 3 * whole_s / num_kills)
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if (folder / "killed.csv").exists():
            print("this run came to its end before it was killed")
            break
        print(f"killed after {wait_s:.1f} s with {_rows_so_far(folder):,} rows done")
    process = _start(folder, url, "killed.csv")
    process.wait()
    digests = {hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("whole.csv", "killed.csv")}
    print("byte for byte equal" if len(digests) == 1 else "NOT EQUAL", flush=True)
    assert len(digests) == 1


def _rows_so_far(folder: Path) -> int:
    outcomes = folder / "killed.csv.partial" / "outcomes.jsonl"
    return sum(1 for _ in outcomes.open("rb")) if outcomes.exists() else 0


def _start(folder: Path, url: str, out: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _CLIENT_ALONE, "score", str(folder / "tweets.csv"), "--text-column", "review"]
    return subprocess.Popen([*command, "--url", url, "--out", str(folder / out)], stderr=subprocess.DEVNULL)


def _check(path: Path, num_rows: int, is_stand_in: bool) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        number = -1
        for number, row in enumerate(csv.DictReader(file)):
            assert row["id"] == str(number)
            assert row["sentiment"]
            assert row["review"].endswith(f" {number}")
            if is_stand_in:
                assert row["sentiment"] == prediction(row["review"].strip())["sentiment"]
    assert number + 1 == num_rows


@contextmanager
def _service(url: str | None, fault_rate: float) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]  # a free one: another measurement may be running
    stand_in = str(Path(__file__).with_name("stand_in.py"))
    process = subprocess.Popen([sys.executable, stand_in, "--port", str(port), "--fault-rate", str(fault_rate)])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
