"""Everything that has to be known from a real GPU, in one command of at most ten minutes: `make check-gpu`.

Writes bench/gpu/NAME.json and bench/gpu/NAME.md, and prints the latter: what was measured, and what the rules, which
were fixed before, make of it. Runs where torch, transformers, tokenizers and numpy are installed and nothing can be
fetched: `tools/check_gpu/wheels.py` packs what else is imported. With `--dry` it runs on a CPU, with tiny sizes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from tools.check_gpu import passes, service
from tools.check_gpu.measuring import Figures, Run
from tools.check_gpu.report import as_table

OUT = Path(__file__).resolve().parent.parent.parent / "bench" / "gpu"
MAX_S = 570
"""A part does not start after this: the whole takes at most ten minutes."""

PARTS: list[tuple[Callable[[Run], Figures], float]] = [
    (passes.machine, 5),
    (passes.ceilings, 20),
    (passes.correctness, 40),
    (passes.attention, 15),
    (passes.passes, 90),
    (passes.depth, 20),
    (service.lost_device, 30),
    (service.recall, 40),
    (service.out_of_memory, 20),
    (service.engine, 75),
    (service.peers, 40),
    (service.soak, 190),
]
"""What is measured, in this order, and about how many seconds each takes on a GPU."""


def check(run: Run, write: Callable[[Figures], object], max_s: float = MAX_S) -> Figures:
    """Run all parts for which there is time. One that fails is written down as such, and the rest goes on."""
    report: Figures = {}
    started_at = time.monotonic()
    for part, expected_s in PARTS:
        part_started_at = time.monotonic()
        name = part.__name__
        if part_started_at - started_at + expected_s > max_s:
            report[name] = {"left_out": "no time left"}
            continue
        try:
            report[name] = part(run)
        except Exception as error:
            traceback.print_exc()
            report[name] = {"error": f"{type(error).__name__}: {error}"[:500]}
        report[name]["seconds"] = round(time.monotonic() - part_started_at, 1)
        print(f"{name}: {report[name]['seconds']} s", file=sys.stderr)
        write(report)
        if not run.is_dry:
            torch.cuda.empty_cache()
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="on a CPU, with tiny sizes: no figure means anything")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder of report and table")
    args = parser.parse_args()
    if not args.dry and not torch.cuda.is_available():
        print("No GPU that torch can use is here. --dry runs every line on the CPU instead.", file=sys.stderr)
        return 1
    run = Run(args.dry)
    name = "dry" if args.dry else torch.cuda.get_device_name(0).replace(" ", "-").lower()
    args.out.mkdir(parents=True, exist_ok=True)
    as_json = args.out / f"{name}.json"
    report = check(run, lambda report: as_json.write_text(json.dumps(report, indent=1) + "\n"))
    table = as_table(report)
    (args.out / f"{name}.md").write_text(table)
    print(table)
    failed = [part for part, figures in report.items() if "error" in figures]
    if failed:
        print(f"These parts failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
