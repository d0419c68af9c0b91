"""The process in which parts run: module and name of each come as a line of JSON, and so do its figures go."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback

import torch

from tools.check_gpu.measuring import Run


def main() -> None:
    # What a part prints is none of the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    run = Run(is_dry="--dry" in sys.argv)
    if not run.is_dry and not torch.cuda.is_available():
        sys.exit("No GPU that torch can use is here. --dry runs every line on the CPU instead.")
    print(json.dumps({"is_ready": True}), file=answers)
    for line in sys.stdin:
        module, name = json.loads(line)
        try:
            figures = getattr(importlib.import_module(f"tools.check_gpu.{module}"), name)(run)
        except Exception as error:
            traceback.print_exc()
            figures = {"error": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps(figures), file=answers)
        if not run.is_dry:
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
