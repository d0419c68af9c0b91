"""`tools/deploy.py`, whose SDK commands are forks of it: the same commands, without importing everything anew.

And the pauses of five seconds, which the SDK makes between looks at a build, are short ones.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import sys
import traceback
from typing import Any

from loguru import logger

from tools import deploy

SLEPT = 0.02
"""Share of a pause that is slept."""

sleep = asyncio.sleep


async def short_sleep(seconds: float, *arguments: Any) -> Any:
    return await sleep(seconds * SLEPT, *arguments)


def run_forked(arguments: list[str], answers: str) -> list[str]:
    """Like `deploy.run_sdk`."""
    reading, output = os.pipe()
    questions, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, answers.encode())
        os.close(writing)
        for source, target in [(questions, 0), (output, 1), (output, 2)]:
            os.dup2(source, target)
        os._exit(become_the_sdk(arguments))
    for descriptor in (output, questions, writing):
        os.close(descriptor)
    with os.fdopen(reading, encoding="utf-8") as printed:
        lines = deploy.shown(printed)
    os.wait()
    return lines


def become_the_sdk(arguments: list[str]) -> int:
    logger.enable("chutes")
    asyncio.sleep = short_sleep  # type: ignore[assignment]
    sys.argv = ["chutes", *arguments]
    code = 0
    try:
        runpy.run_module("chutes.cli", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    deploy.LOOKS_EVERY_S *= SLEPT
    sys.exit(deploy.main(run_sdk=run_forked))
