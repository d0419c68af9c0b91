"""What attackers can cost somebody else: `make attack`, or `python -m tests.attack [ROW ...]`.

Each row is bounded in requests and seconds, and prints one figure. `--url` and `--pid` attack a server that runs
already, such as an earlier version's; it must be in dev mode with the bundled model.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

from rehearsal.dev_server import running_server
from tests.attack.rows import MIXED_S, ROWS, Target

ROW_TIMEOUT_S = 120 + MIXED_S


async def attack(target: Target, names: list[str]) -> None:
    """Run the rows one after the other, each once the service has nothing more to do."""
    for name in names:
        await target.until_idle(ROW_TIMEOUT_S)
        load = os.getloadavg()[0]
        started_at = time.monotonic()
        try:
            figure = await asyncio.wait_for(ROWS[name](target), ROW_TIMEOUT_S)
        except TimeoutError:
            figure = f"not over after {ROW_TIMEOUT_S:.0f} s"
        print(f"{name:10} {figure}  [{time.monotonic() - started_at:.0f} s, load {load:.0f}]", flush=True)


def main() -> None:
    """Attack a server that is given, or one of its own."""
    parser = argparse.ArgumentParser(prog="tests.attack", description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"some of: {', '.join(ROWS)}")
    parser.add_argument("--url", help="of a running service; left out, one is started")
    parser.add_argument("--pid", type=int, help="of its process")
    args = parser.parse_args()
    names = args.rows or list(ROWS)
    if args.url:
        asyncio.run(attack(Target(args.url, args.pid), names))
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "log", BATCH_PROCESSOR_ANSWER_CACHE_MIB="16") as server,
    ):
        asyncio.run(attack(Target(server.url, server.process.pid), names))


if __name__ == "__main__":
    main()
