"""Print and draw how throughput grows with the token budget of a forward pass, on this machine. `make tune` calls this.

The model, its device and its precision come from the service's own environment variables.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from batch_inference.errors import BatchInferenceError
from batch_inference.model import SentimentModel
from batch_inference.settings import load_settings
from batch_inference.tuning import BudgetPoint, measure_budgets, pick_cost

CPU_BUDGETS = [32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]
GPU_BUDGETS = [2**power for power in range(8, 19)]


def draw(points: list[BudgetPoint], title: str, path: Path) -> None:
    """Write the curve as an SVG or PNG, whichever the name says."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot([p.max_batch_tokens for p in points], [p.tokens_per_second for p in points], marker="o")
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    axes.set(xlabel="tokens in a forward pass", ylabel="tokens/s", title=title)
    axes.grid(alpha=0.3)
    figure.savefig(path, bbox_inches="tight")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plot", type=Path, help="also draw the curve into this .svg or .png (needs matplotlib)")
    args = parser.parse_args()
    try:
        settings = load_settings()
        model = SentimentModel.load(settings)
    except BatchInferenceError as error:
        print(error, file=sys.stderr)
        return 1
    title = f"{settings.model} on {model.device} in {model.precision}"
    print(title, f"\n{'tokens':>8} {'ms/pass':>9} {'tokens/s':>9} {'GiB':>6}")
    points = measure_budgets(model, CPU_BUDGETS if model.device == "cpu" else GPU_BUDGETS, args.repeats)
    for point in points:
        memory = "-" if point.peak_memory_gib is None else f"{point.peak_memory_gib:.2f}"
        milliseconds = point.pass_s * 1000
        print(f"{point.max_batch_tokens:8} {milliseconds:9.1f} {point.tokens_per_second:9.0f} {memory:>6}")
    cost = pick_cost(points)
    print(f"Smallest budget near the best: BATCH_PROCESSOR_MAX_BATCH_TOKENS={cost.max_batch_tokens}")
    print(f"Fixed part of a pass: {cost.overhead_tokens} tokens' worth of time")
    if args.plot:
        draw(points, title, args.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
