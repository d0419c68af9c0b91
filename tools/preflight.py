"""Say what would be deployed, whether the platform would take it, and what it would cost; upload nothing.

Reads the chute as `chutes build` and `chutes deploy` do, applies the API server's rules (`platform_rules`) to it, and
ends with the two commands to run. Exits with 1, and one sentence for each broken rule, if it would be refused.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import httpx
from pydantic import ValidationError

from platform_rules.chute_args import ChuteArgs
from platform_rules.gpus import LAST_KNOWN_PRICES, PRICES_OF, PRICES_URL, published_prices
from platform_rules.refusals import FEE_HOURS, SHELL_REDIRECT, hourly_price, refusals

ROOT = Path(__file__).resolve().parent.parent

PRICES_TIMEOUT_S = 5.0
PLACEHOLDER_USERNAME = "myuser"


def load_chute(name: str) -> tuple[Any, str]:
    """The chute of a file, from the current folder, and the prefix of its environment variables.

    Raises:
        SystemExit: a setting is not valid; the chute says which.
    """
    module = importlib.import_module(name)
    return module.chute, module.settings.env_prefix()


def chute_args(chute: Any, reference: str) -> dict[str, Any]:
    """What `chutes deploy` would send."""
    file = Path(f"{reference.partition(':')[0]}.py")
    names = [
        "name", "tagline", "readme", "standard_template", "concurrency", "max_instances", "scaling_threshold",
        "shutdown_after_seconds", "allow_external_egress", "encrypted_fs", "tee", "lock_modules", "revision",
    ]  # fmt: skip
    return {name: getattr(chute, name) for name in names} | {
        "image": chute.image.uid,
        "public": False,
        "node_selector": chute.node_selector.model_dump(),
        "filename": file.name,
        "ref_str": reference,
        "code": file.read_text(encoding="utf-8"),
        "cords": [cord_args(cord) for cord in chute.cords],
        "jobs": [{"name": job.name} for job in chute.jobs],
    }


def cord_args(cord: Any) -> dict[str, Any]:
    """One endpoint, as `chutes deploy` describes it."""
    return {
        "method": cord._method,
        "path": cord.path,
        "public_api_path": cord.public_api_path,
        "public_api_method": cord._public_api_method,
        "stream": cord._stream,
        "function": cord._func.__name__,
        "passthrough": cord._passthrough,
    }


def broken_rules(sent: dict[str, Any], chute: Any, prefix: str) -> list[str]:
    """One sentence for each rule that the deployment breaks, the server's own where it has one."""
    broken = []
    if chute._username == PLACEHOLDER_USERNAME:
        broken.append(f"{prefix}USERNAME is not set: the image and the chute must be your own.")
    if redirect := SHELL_REDIRECT.search(str(chute.image)):
        broken.append(f"The shell would take this for a redirect: {redirect[0]}")
    try:
        broken += [refusal.detail for refusal in refusals(ChuteArgs.model_validate(sent))]
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            broken.append(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}.")
    return broken


def image_files(chute: Any) -> list[str]:
    """Paths of the files that `chutes build` would upload."""
    return sorted({path for directive in chute.image._directives for path in directive._build_context})


def read_prices() -> tuple[dict[str, float], str]:
    """Dollars an hour by GPU, and where that is from: the platform's list, or the last known one."""
    try:
        answer = httpx.get(PRICES_URL, timeout=PRICES_TIMEOUT_S)
        answer.raise_for_status()
        return published_prices(answer.json()), f"{PRICES_URL}, now"
    except (httpx.HTTPError, ValueError) as error:
        return LAST_KNOWN_PRICES, f"last known, of {PRICES_OF}; {PRICES_URL} says nothing: {type(error).__name__}"


def describe(chute: Any, sent: dict[str, Any]) -> None:
    """Print what would be deployed."""
    files = image_files(chute)
    size = sum(Path(file).stat().st_size for file in files)
    selector = chute.node_selector
    print(f"chute   {chute._username}/{sent['name']}, {sent['filename']} ({len(sent['code'])} characters)")
    print(f"image   {chute.image.username}/{chute.image.name}:{chute.image.tag}, {len(files)} files, {size:,} bytes")
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
    print("baked in")
    for line in str(chute.image).splitlines():
        if line.startswith("ENV "):
            print(f"        {line.removeprefix('ENV ')}")


def cost(sent: dict[str, Any], texts_per_second: float, prices: dict[str, float]) -> list[str]:
    """What it costs, a line each. There must be a GPU that satisfies the selector."""
    hour = hourly_price(ChuteArgs.model_validate(sent).node_selector, prices)
    million = 1e6 / texts_per_second / 3600 * hour
    idle = sent["shutdown_after_seconds"]
    return [
        f"        ${FEE_HOURS * hour:.2f} for the first deployment, once; later ones cost nothing",
        f"        ${hour:.2f} an hour for each instance, from when it is up, idle or not",
        f"        ${hour * idle / 3600:.2f} for the {idle} s that an instance is kept after its last request",
        f"        ${million:.3f} per million texts at {texts_per_second:g} texts/s, all of the time busy",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chute", default="batch_processor", help="its file, without .py (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=2000.0, help="texts per second of one instance (default: 2000)")
    args = parser.parse_args()
    if args.rate <= 0:
        parser.error("--rate must be above 0")
    os.chdir(ROOT)
    reference = f"{args.chute}:chute"
    chute, prefix = load_chute(args.chute)
    sent = chute_args(chute, reference)
    describe(chute, sent)
    broken = broken_rules(sent, chute, prefix)
    prices, source = read_prices()
    print(f"costs   (prices: {source})")
    try:
        print(*cost(sent, args.rate, prices), sep="\n")
    except ValueError:
        print("        unknown: no GPU satisfies this")
    if broken:
        print(f"\nThe platform would refuse this, for {len(broken)} reason(s):", file=sys.stderr)
        print(*(f"  {sentence}" for sentence in broken), sep="\n", file=sys.stderr)
        return 1
    print(
        "\nNo known rule stands against it. It takes a balance of $50 to build. Next:\n"
        f"  .venv/bin/chutes build {reference} --wait\n"
        f"  .venv/bin/chutes deploy {reference} --accept-fee"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
