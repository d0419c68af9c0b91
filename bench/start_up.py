"""How long an instance takes until it serves, with bytecode and without: `python -m bench.start_up`.

The platform deletes all bytecode from an image and writes none, so that every start compiles what it imports. The two
kinds of start take turns; CPU seconds are printed beside those of the clock, which other programs stretch.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.processes import cpu_s, end_tree
from rehearsal.dev_server import service_command
from rehearsal.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 600.0
KINDS = ("with bytecode", "without")


@dataclass(frozen=True)
class Start:
    """Seconds from the process's start until its port was open."""

    clock_s: float
    cpu_s: float


def measure_start(with_bytecode: bool) -> Start:
    """Start the chute with the bundled model through the SDK's own server.

    Raises:
        RuntimeError: it ended, or did not serve in time.
    """
    port = free_port()
    environment = os.environ | {"CHUTES_EXECUTION_CONTEXT": "REMOTE", "BATCH_PROCESSOR_MODEL": "bundled"}
    with tempfile.TemporaryDirectory() as empty:
        if not with_bytecode:
            # Bytecode is looked for where there is none, and none is written.
            environment |= {"PYTHONPYCACHEPREFIX": empty, "PYTHONDONTWRITEBYTECODE": "1"}
        began = time.monotonic()
        process = subprocess.Popen(
            service_command(port), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            while time.monotonic() < began + TIMEOUT_S:
                if process.poll() is not None:
                    raise RuntimeError("the chute ended before it served")
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        return Start(time.monotonic() - began, cpu_s(process.pid))
                time.sleep(0.05)
            raise RuntimeError(f"the chute did not serve within {TIMEOUT_S:.0f} s")
        finally:
            end_tree(process)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    # The first start writes the bytecode that is missing.
    measure_start(with_bytecode=True)
    starts: dict[str, list[Start]] = {kind: [] for kind in KINDS}
    for _ in range(args.rounds):
        for kind in KINDS:
            starts[kind].append(measure_start(kind == KINDS[0]))
    medians = {
        kind: {
            "cpu_s": statistics.median(start.cpu_s for start in measured),
            "clock_s": statistics.median(start.clock_s for start in measured),
        }
        for kind, measured in starts.items()
    }
    print("| start | CPU seconds | seconds |\n|---|---|---|")
    for kind, median in medians.items():
        print(f"| {kind} | {median['cpu_s']:.1f} | {median['clock_s']:.1f} |")
    print(json.dumps({"rounds": args.rounds, "starts": medians}))


if __name__ == "__main__":
    main()
