"""Build a chute's image and deploy it, by the SDK's own commands, and look each time at what has become of it.

The SDK's exit codes say little: a refused upload and a failed build exit with 0. So after each command the platform is
asked. Every way that this can end has one sentence and an exit code:

    0  deployed, or deployed already
    1  a known rule is broken; nothing was uploaded
    2  the account or the platform cannot be used as it is
    3  the platform did not take the image
    4  the build failed
    5  the build is not over yet
    6  the platform did not take the chute
    7  you said no
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from platform_rules.refusals import FEE_HOURS
from tools.plan import Plan, planned, read_prices
from tools.platform_api import PlatformApi, PlatformError
from tools.preflight import ROOT, cost, describe
from tools.watch import COLD_STARTS

BUILT = "built and pushed"
BUILD_TIMEOUT_S = 3600.0
LOOKS_EVERY_S = 5.0
SPEAKS_EVERY_S = 30.0
LOG_LINES = 15

CHUTES = ".venv/bin/chutes"

RunSdk = Callable[[list[str], str], list[str]]
"""Runs one of the SDK's commands with answers to its questions, shows what it prints, and gives its lines."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LOG_PREFIX = re.compile(r"^(.*\(y/n\) )?\d{4}-\d\d-\d\d [\d:.]+ \| \w+ +\| .*? - ")
"""Before what the SDK has to say: perhaps a question that was answered, then time, level, and place in its code."""


class Ended(Exception):
    """One sentence, or a few, and an exit code."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def run_sdk(arguments: list[str], answers: str) -> list[str]:
    """Run `chutes ...` in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "chutes.cli", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    process.stdin.write(answers)
    process.stdin.close()
    lines = shown(process.stdout)
    process.wait()
    return lines


def shown(output: Iterable[str]) -> list[str]:
    """Print each line as it comes, without what only the SDK's authors want to know; gives all of them as they were."""
    lines = []
    for line in output:
        lines.append(_COLOURS.sub("", line.rstrip("\n")))
        print(f"  | {_LOG_PREFIX.sub('', lines[-1])}", flush=True)
    return lines


def reason_in(lines: list[str]) -> str:
    """What the SDK said went wrong: its last error, with whatever else belongs to it."""
    begins = [number for number, line in enumerate(lines) if re.search(r"\| ERROR +\|", line)]
    if begins:
        first, *further = lines[begins[-1] :]
        return "\n".join([re.sub(r"^.*?\| ERROR +\|.*? - ", "", first), *further]).strip()
    if any("ContentTypeError" in line for line in lines):
        return "The server itself failed (a bare 500), and the SDK on its answer"
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


@dataclass
class Deployment:
    """One chute on its way to the platform.

    Attributes:
        option: how further commands name this chute, such as ` CHUTE=batch_generator`.
    """

    plan: Plan
    api: PlatformApi
    option: str = ""
    run_sdk: RunSdk = run_sdk
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @property
    def image_id(self) -> str:
        return str(self.plan.chute.image.uid)

    @property
    def name(self) -> str:
        return str(self.plan.sent["name"])

    def build(self) -> None:
        """Have the image built, unless it is; returns once it can be used.

        Raises:
            Ended: it cannot.
        """
        status = self.api.image_status(self.image_id)
        if status is None:
            print(f"\nBuilding {self.plan.image_name}:", flush=True)
            # Of more than ten files it asks whether to list the rest: they have been listed.
            answers = "n\ny\n" if len(self.plan.files) > 10 else "y\n"
            lines = self.run_sdk(["build", self.plan.reference, "--wait"], answers)
            status = self.api.image_status(self.image_id)
            if status is None:
                raise Ended(3, f"The platform did not take the image: {reason_in(lines)}.")
        elif status == BUILT:
            print(f"\n{self.plan.image_name} is built already.")
        self._wait(status)

    def _wait(self, status: str) -> None:
        began, spoke = self.clock(), self.clock() - SPEAKS_EVERY_S
        while not status.startswith((BUILT, "error")):
            now = self.clock()
            if now - began > BUILD_TIMEOUT_S:
                raise Ended(
                    5,
                    f"The image is {status!r} for more than {BUILD_TIMEOUT_S / 60:.0f} minutes: run this again later.",
                )
            if now - spoke >= SPEAKS_EVERY_S:
                spoke = now
                print(f"  {int(now - began) // 60:2}:{int(now - began) % 60:02}  {status}", flush=True)
            self.sleep(LOOKS_EVERY_S)
            status = self.api.image_status(self.image_id) or "error: the image was deleted"
        if status != BUILT:
            raise Ended(4, self._why_not_built(status))

    def _why_not_built(self, status: str) -> str:
        log = self.api.build_log(self.image_id)
        file = Path(f"build-{self.plan.chute.image.tag}.log").resolve()
        file.write_text(log, encoding="utf-8")
        end = "\n".join(f"  | {line}" for line in log.splitlines()[-LOG_LINES:])
        return (
            f"The end of the build's log:\n{end}\n"
            f"The build failed: {status.removeprefix('error:').strip()}. The whole log is in {file}.\n"
            "Once you have changed what goes into the image, run this again: the changed image has another name.\n"
            "To build the very same again, delete the failed one first, or the SDK takes it for built:\n"
            f"  {CHUTES} images delete {self.image_id}"
        )

    def deploy(self) -> None:
        """Deploy the chute on its image, and say what comes next.

        Raises:
            Ended: the platform did not take it.
        """
        before = self.api.chute(self.name)
        print(f"\nDeploying {self.name}:", flush=True)
        lines = self.run_sdk(["deploy", self.plan.reference, "--accept-fee"], "y\n")
        after = self.api.chute(self.name)
        is_new = after is not None and (before is None or before["version"] != after["version"])
        is_known = after is not None and any("already exists" in line for line in lines)
        if after is None or not (is_new or is_known):
            raise Ended(6, f"The platform did not take the chute: {reason_in(lines)}.")
        print(
            f"\n{self.name} is deployed{'' if is_new else ' already'}, at https://{after['slug']}.chutes.ai.\n"
            "It gets an instance once somebody calls it; to ask for one now, until you press Ctrl-C:\n"
            f"  {CHUTES} warmup {self.plan.reference} --stream-logs\n"
            f"A cold start took {COLD_STARTS}.\n"
            f"What it is doing, and what it has cost:  make watch{self.option}\n"
            f"Why it does not start:                   make startup-logs{self.option}"
        )


def confirm(plan: Plan, is_first: bool, dollars_per_hour: float, ask: Callable[[str], str] = input) -> None:
    """The one question.

    Raises:
        Ended: it was not answered with yes.
    """
    fee = f"${FEE_HOURS * dollars_per_hour:.2f} once and " if is_first else ""
    question = (
        f"\nUpload these {len(plan.files)} files and {plan.sent['filename']}, and deploy {plan.sent['name']} "
        f"for {fee}${dollars_per_hour:.2f} an hour of each instance? (y/n) "
    )
    try:
        answer = ask(question)
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise Ended(7, "Nothing was uploaded.")


def deploy(file: str, option: str, is_sure: bool, run_sdk: RunSdk = run_sdk) -> None:
    """All of it, for a chute's file (its name without `.py`) of the current folder.

    Raises:
        Ended: it ended before the chute was deployed.
        PlatformError: the platform cannot be asked.
    """
    plan = planned(file)
    prices, source = read_prices()
    describe(plan)
    if broken := plan.broken_rules(prices):
        raise Ended(1, "\n".join(["Nothing was uploaded. The platform would refuse this:", *broken]))
    print(f"costs   (prices: {source})", *cost(plan, 2000.0, prices), sep="\n")
    with PlatformApi() as api:
        if not is_sure:
            confirm(plan, api.chute(plan.sent["name"]) is None, plan.dollars_per_hour(prices))
        deployment = Deployment(plan, api, option, run_sdk)
        deployment.build()
        deployment.deploy()


def main(arguments: list[str] | None = None, run_sdk: RunSdk = run_sdk) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chute", default="batch_processor", help="its file, without .py (default: %(default)s)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    args = parser.parse_args(arguments)
    os.chdir(ROOT)
    option = "" if args.chute == parser.get_default("chute") else f" CHUTE={args.chute}"
    try:
        deploy(args.chute, option, args.yes, run_sdk)
    except (Ended, PlatformError) as error:
        # Into a pipe, what is buffered would come after the last sentence.
        sys.stdout.flush()
        print(f"\n{error}", file=sys.stderr)
        return error.code if isinstance(error, Ended) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
