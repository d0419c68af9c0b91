"""Say what would be deployed, whether the platform would take it, and what it would cost; upload nothing.

Reads the chute as `chutes build` and `chutes deploy` do, applies the API server's rules (`platform_rules`) to it, and
ends with the two commands to run. Exits with 1, and one sentence for each broken rule, if it would be refused.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from platform_rules.refusals import BUILDING_BALANCE, FEE_HOURS
from tools.hub import needs_token
from tools.model_memory import weights_gib
from tools.plan import Plan, planned, read_prices

ROOT = Path(__file__).resolve().parent.parent

ADDED_INSTANCE_MINUTES = 63
"""The autoscaler removes none that is younger."""


def describe(plan: Plan) -> None:
    """Print what would be deployed."""
    sent, files = plan.sent, plan.files
    size = sum(Path(file).stat().st_size for file in files)
    selector = plan.chute.node_selector
    print(f"chute   {plan.chute._username}/{sent['name']}, {sent['filename']} ({len(sent['code'])} characters)")
    print(f"image   {plan.image_name}, {len(files)} files, {size:,} bytes")
    for file in files:
        print(f"        {file}")
    cap = selector.max_hourly_price_per_gpu
    print(
        f"GPU     {selector.gpu_count} x {' or '.join(selector.include or ['any'])}"
        f"{f', at most ${cap:.2f} an hour' if cap else ''}, {'trusted' if sent['tee'] else 'NOT trusted'}"
    )
    print(
        f"runs    up to {sent['max_instances']} instance(s), {sent['concurrency']} requests each; another beyond "
        f"{sent['scaling_threshold']:.0%} of that; kept {sent['shutdown_after_seconds']} s after the last request"
    )
    for cord in sent["cords"]:
        stream = ", a stream" if cord["stream"] else ""
        print(f"        {cord['public_api_method']} {cord['public_api_path']}{stream}")
    if len(plan.models) > 1:
        print("models")
        for name, settings in plan.models.items():
            gib = weights_gib(settings)
            revision = f"@{settings.pinned_revision}" if settings.pinned_revision else ""
            memory = "of unknown size" if gib is None else f"{gib:.2f} GiB of weights"
            print(f"        {name}: {settings.model}{revision}, {memory}")
    for settings in plan.models.values():
        if needs_token(settings):
            print(
                f"token   {settings.model} is private on the hub, or not there: an instance loads it only with the\n"
                "        secret HF_TOKEN; docs/your-model.md has the command"
            )
    print("baked in")
    for line in str(plan.chute.image).splitlines():
        if line.startswith("ENV "):
            print(f"        {line.removeprefix('ENV ')}")


def cost(plan: Plan, texts_per_second: float, prices: dict[str, float]) -> list[str]:
    """What it costs, a line each.

    Raises:
        ValueError: no GPU satisfies the selector.
    """
    hour = plan.dollars_per_hour(prices)
    million = 1e6 / texts_per_second / 3600 * hour
    idle = plan.sent["shutdown_after_seconds"]
    lines = [
        f"${FEE_HOURS * hour:.2f} for the first deployment, once; later ones cost nothing",
        f"${hour:.2f} an hour for each instance, from when it is up, idle or not",
        f"${hour * idle / 3600:.2f} for the {idle} s that an instance is kept after its last request",
        f"${million:.3f} per million texts at {texts_per_second:g} texts/s, all of the time busy",
    ]
    if plan.sent["max_instances"] > 1:
        further = hour * ADDED_INSTANCE_MINUTES / 60
        lines.insert(2, f"${further:.2f} at least for a second instance: it lives {ADDED_INSTANCE_MINUTES} minutes")
    return [f"        {line}" for line in lines]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chute", default="batch_processor", help="its file, without .py (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=2000.0, help="texts per second of one instance (default: 2000)")
    args = parser.parse_args(arguments)
    if args.rate <= 0:
        parser.error("--rate must be above 0")
    os.chdir(ROOT)
    plan = planned(args.chute)
    describe(plan)
    prices, source = read_prices()
    broken = plan.broken_rules(prices)
    print(f"costs   (prices: {source})")
    try:
        print(*cost(plan, args.rate, prices), sep="\n")
    except ValueError:
        print("        unknown: no GPU satisfies this")
    if broken:
        # Into a pipe, what is buffered would come after the refusal.
        sys.stdout.flush()
        print(f"\nThe platform would refuse this, for {len(broken)} reason(s):", file=sys.stderr)
        print(*(f"  {sentence}" for sentence in broken), sep="\n", file=sys.stderr)
        return 1
    chute = "" if args.chute == parser.get_default("chute") else f" CHUTE={args.chute}"
    print(
        f"\nNo known rule stands against it. It takes a balance of ${BUILDING_BALANCE:.0f} to build, of more than the "
        "fee\nfor the first deployment, and of more than nothing for a later one. Next:\n"
        f"  make deploy{chute}\n"
        "or, one after the other:\n"
        f"  .venv/bin/chutes build {plan.reference} --wait\n"
        f"  .venv/bin/chutes deploy {plan.reference} --accept-fee"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
