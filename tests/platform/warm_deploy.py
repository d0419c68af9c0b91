"""`tools/deploy.py`, whose SDK commands are forks of it: the same commands, without importing everything anew.

And the pauses of five seconds, which the SDK makes between looks at a build, are short ones.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from rehearsal.warm_python import become
from tools import deploy

SLEPT = 0.02
"""Share of a pause that is slept."""

sleep = asyncio.sleep


async def short_sleep(seconds: float, *arguments: Any) -> Any:
    return await sleep(seconds * SLEPT, *arguments)


def run_forked(arguments: list[str]) -> list[str]:
    """Like `deploy.run_sdk`."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        from loguru import logger

        logger.enable("chutes")
        asyncio.sleep = short_sleep  # type: ignore[assignment]
        os._exit(become("chutes.cli", arguments, "y\n" * 3, writing))
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as output:
        lines = output.read().splitlines()
    os.waitpid(child, 0)
    print(*(f"  | {line}" for line in lines), sep="\n", flush=True)
    return lines


if __name__ == "__main__":
    deploy.LOOKS_EVERY_S *= SLEPT
    sys.exit(deploy.main(run_sdk=run_forked))
