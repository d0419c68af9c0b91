"""Say what a chute is doing, without asking for an instance of it.

The API says whether there is one. Only then is the service asked for its figures, once: each answered call keeps the
instance for another `SHUTDOWN_AFTER_SECONDS`, so a watcher that went on asking would never let it go. With `--every`,
the API alone is asked again and again, until Ctrl-C or until the instance is gone.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from tools.platform_api import PlatformApi, PlatformError, chute_name

CALL_TIMEOUT_S = 60.0
COLD_STARTS = "17 to 97 minutes in the only public measurements, of June 2026"

SHOWN = {
    "texts_per_second": "texts/s over the last minute",
    "tokens_per_second": "tokens/s over the last minute",
    "requests_in_flight": "requests in flight",
    "queued_texts": "texts queued",
    "total_texts_processed": "texts so far",
}
"""What of the figures of `/batch-stats`, as far as a chute has them."""


@dataclass(frozen=True)
class State:
    """A chute, as the API describes it.

    Attributes:
        dollars_per_hour: of one instance.
        idle_s: how long an instance is kept after its last request.
    """

    name: str
    slug: str
    num_serving: int
    num_starting: int
    dollars_per_hour: float
    idle_s: int

    @classmethod
    def of(cls, chute: dict[str, Any]) -> State:
        instances = chute.get("instances") or []
        num_serving = sum(bool(instance.get("active") and instance.get("verified")) for instance in instances)
        price = ((chute.get("current_estimated_price") or {}).get("usd") or {}).get("hour") or 0.0
        return cls(
            chute["name"], chute["slug"], num_serving, len(instances) - num_serving, float(price),
            int(chute.get("shutdown_after_seconds") or 300),
        )  # fmt: skip

    def __str__(self) -> str:
        starting = f", {self.num_starting} starting" if self.num_starting else ""
        if self.num_serving:
            return f"hot: {self.num_serving} instance(s) serving{starting}, ${self.dollars_per_hour:.2f} an hour each"
        if self.num_starting:
            return f"cold: none serving{starting}"
        return "cold: no instance, and nothing to pay; a call asks for one"


def stats_of(url: str, key: str | None) -> dict[str, Any] | str:
    """The service's figures, or why there are none."""
    if not key:
        return "set CHUTES_API_KEY to see the service's own figures"
    try:
        answer = httpx.get(f"{url}/batch-stats", headers={"Authorization": f"Bearer {key}"}, timeout=CALL_TIMEOUT_S)
        answer.raise_for_status()
        figures: dict[str, Any] = answer.json()
        return figures
    except httpx.HTTPStatusError as error:
        return f"{url}/batch-stats answered {error.response.status_code}: {error.response.text[:200]}"
    except (httpx.HTTPError, ValueError) as error:
        return f"{url}/batch-stats cannot be read: {error or type(error).__name__}"


def described(figures: dict[str, Any], state: State) -> Iterator[str]:
    """A line each for what the service says of itself, and for what that has cost."""
    shown = [f"{figures[field]:g} {label}" for field, label in SHOWN.items() if field in figures]
    if shown:
        yield f"  {', '.join(shown)}"
    errors = {kind: count for kind, count in (figures.get("errors") or {}).items() if count}
    if errors:
        yield f"  errors: {', '.join(f'{kind} {count}' for kind, count in errors.items())}"
    if "uptime" in figures:
        dollars = figures["uptime"] / 3600 * state.dollars_per_hour
        yield f"  up for {figures['uptime'] / 60:.0f} minutes, which has cost ${dollars:.2f}"
    idle = state.idle_s / 3600 * state.dollars_per_hour
    yield f"  this look keeps it for another {state.idle_s} s (${idle:.2f}); a look with nothing but the API does not"


@dataclass
class Watch:
    """Looks at a chute.

    Attributes:
        url: where it is called; by default what its slug says.
        every_s: seconds between looks; None is for a single one.
    """

    api: PlatformApi
    name: str
    url: str | None = None
    every_s: float | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def look(self) -> State:
        """Raises PlatformError if there is no such chute."""
        chute = self.api.chute(self.name)
        if chute is None:
            raise PlatformError(f"There is no chute named {self.name} in your account: deploy it first (make deploy).")
        return State.of(chute)

    def run(self) -> None:
        """Print what there is to see, as often as asked."""
        began, paid_s, state = self.clock(), 0.0, self.look()
        print(f"{self.name}: {state}")
        if not state.num_serving:
            print(f"  A cold start took {COLD_STARTS}. Why one fails: make startup-logs")
        else:
            figures = stats_of(self.url or f"https://{state.slug}.chutes.ai", os.environ.get("CHUTES_API_KEY"))
            print(*([f"  {figures}"] if isinstance(figures, str) else described(figures, state)), sep="\n")
        while self.every_s is not None:
            last, before = self.clock(), state
            self.sleep(self.every_s)
            state = self.look()
            paid_s += before.num_serving * (self.clock() - last)
            cost = f"${paid_s / 3600 * before.dollars_per_hour:.2f} since this watch began"
            print(f"{_minutes(self.clock() - began)}  {state}; {cost}", flush=True)
            if before.num_serving and not state.num_serving:
                return


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60:3}:{int(seconds) % 60:02}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chute", default="batch_processor", help="its file, without .py (default: %(default)s)")
    parser.add_argument("--every", type=float, help="seconds between looks at its state (default: look once)")
    parser.add_argument("--url", help="where the chute is called (default: what the API says)")
    args = parser.parse_args(arguments)
    try:
        with PlatformApi() as api:
            Watch(api, chute_name(args.chute), args.url, args.every).run()
    except PlatformError as error:
        sys.stdout.flush()
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
