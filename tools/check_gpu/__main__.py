"""Everything that has to be known from a real GPU, in one command of at most nine minutes: `make check-gpu`.

Writes NAME.json and NAME.md into bench/gpu/ (`--out` says otherwise) after each part, and prints the latter at the end:
what was measured, and what the rules, which were fixed before, make of it. Parts run in a process of their own, which
is killed if one takes too long, and replaced if one fails: the rest goes on. Runs where torch, transformers,
tokenizers and numpy are installed and nothing can be fetched: `tools/check_gpu/wheels.py` packs what else is imported.
With `--dry` it runs on a CPU, with tiny sizes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tools.check_gpu.parts import PARTS, Figures
from tools.check_gpu.processes import run_parts
from tools.check_gpu.report import as_table

OUT = Path(__file__).resolve().parent.parent.parent / "bench" / "gpu"
MAX_S = 540
"""The whole takes at most nine minutes, whatever happens."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.check_gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dry", action="store_true", help="on a CPU, with tiny sizes: no figure means anything")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder of report and table")
    parser.add_argument("--max-s", type=float, default=MAX_S, help=f"seconds for all of it (default {MAX_S})")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    def write(report: Figures) -> None:
        name = "dry" if args.dry else str(report.get("machine", {}).get("gpu", "gpu")).replace(" ", "-").lower()
        (args.out / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
        (args.out / f"{name}.md").write_text(as_table(report))

    worker = [sys.executable, "-m", "tools.check_gpu.worker", *(["--dry"] if args.dry else [])]
    report = run_parts(PARTS, worker, args.max_s, write)
    print(as_table(report))
    failed = [part for part, figures in report.items() if "error" in figures]
    if failed:
        print(f"These parts failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
