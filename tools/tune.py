"""Print and draw how throughput and memory grow with a forward pass's token budget, on this machine: `make tune`.

Then compare the precisions: which one is fastest depends on the processor's instructions, and is not to be guessed.
Memory is the GPU's, or the whole process's on a CPU. The model, its device and its precision come from the service's
own environment variables.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from batch_classification.head import SentimentHead
from batch_classification.settings import ClassifierSettings
from batch_inference.errors import BatchInferenceError, ModelLoadError
from batch_inference.loading import load_model
from batch_inference.model import EncoderModel
from batch_inference.settings import Precision, load_settings
from batch_inference.tuning import ROW_TOKENS, BudgetPoint, measure_budgets, pick_cost

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float16", "int8")
SPEED_COLOUR, MEMORY_COLOUR = "#1f5fa8", "#b3541e"

CPU_BUDGETS = [32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]
GPU_BUDGETS = [2**power for power in range(8, 19)]


def draw(points: list[BudgetPoint], title: str, path: Path) -> None:
    """Write the curve as an SVG or PNG, whichever the name says."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    memory = axes.twinx()
    budgets = [p.max_batch_tokens for p in points]
    axes.plot(budgets, [p.texts_per_second for p in points], marker="o", color=SPEED_COLOUR)
    memory.plot(budgets, [p.peak_memory_gib for p in points], marker=".", linestyle="--", color=MEMORY_COLOUR)
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    memory.set_ylim(bottom=0)
    axes.set(xlabel="tokens in a forward pass", title=title)
    axes.set_ylabel(f"texts of {ROW_TOKENS} tokens per second", color=SPEED_COLOUR)
    memory.set_ylabel("peak memory, GiB", color=MEMORY_COLOUR)
    axes.grid(alpha=0.3)
    figure.savefig(path, bbox_inches="tight")


def compare_precisions(settings: ClassifierSettings, budget: int, repeats: int) -> None:
    """Print the speed of full passes in each precision that this machine can run, all taking turns."""
    models: dict[Precision, EncoderModel] = {}
    for precision in PRECISIONS:
        # On a CPU, float16 is for processors that hardly exist, and takes minutes on all others.
        if precision == "float16" and next(iter(models.values())).device == "cpu":
            continue
        try:
            models[precision] = load_model(
                settings.model_copy(update={"precision": precision}), SentimentHead(settings.text_preparation)
            )
        except ModelLoadError as error:
            print(f"{precision:>9}: {error}")
    took: dict[Precision, list[float]] = {precision: [] for precision in models}
    for _ in range(repeats):
        for precision, model in models.items():
            took[precision] += [point.pass_s for point in measure_budgets(model, [budget], repeats=1)]
    print(f"{'precision':>9} {'texts/s':>9} {'over float32':>12}")
    pass_s = {precision: statistics.median(times) for precision, times in took.items() if times}
    for precision, seconds in pass_s.items():
        speed = budget / ROW_TOKENS / seconds
        print(f"{precision:>9} {speed:9.1f} {pass_s['float32'] / seconds:12.2f}")
    fastest = min(pass_s, key=lambda precision: pass_s[precision])
    print(f"Fastest here: BATCH_PROCESSOR_PRECISION={fastest}; `python -m tools.evaluate_model` measures its recall.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plot", type=Path, help="also draw the curve into this .svg or .png (needs matplotlib)")
    args = parser.parse_args()
    try:
        settings = load_settings(ClassifierSettings)
        model = load_model(settings, SentimentHead(settings.text_preparation))
    except BatchInferenceError as error:
        print(error, file=sys.stderr)
        return 1
    title = f"{settings.model} on {model.device} in {model.precision}"
    print(title, f"\n{'tokens':>8} {'ms/pass':>9} {'tokens/s':>9} {'texts/s':>9} {'GiB':>6}")
    points = measure_budgets(model, CPU_BUDGETS if model.device == "cpu" else GPU_BUDGETS, args.repeats)
    for point in points:
        print(
            f"{point.max_batch_tokens:8} {1000 * point.pass_s:9.1f} {point.tokens_per_second:9.0f} "
            f"{point.texts_per_second:9.1f} {point.peak_memory_gib:6.2f}"
        )
    cost = pick_cost(points)
    print(f"Smallest budget near the best: BATCH_PROCESSOR_MAX_BATCH_TOKENS={cost.max_batch_tokens}")
    print(f"Fixed part of a pass: {cost.overhead_tokens} tokens' worth of time")
    compare_precisions(settings, cost.max_batch_tokens, args.repeats)
    if args.plot:
        draw(points, title, args.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
