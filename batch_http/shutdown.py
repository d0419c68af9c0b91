"""How the process ends: in order on SIGTERM, for which the SDK has no handler, and at once when the GPU is lost."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading

from batch_http.callers import OpenAnswers
from batch_http.served_engine import ServedEngine
from batch_http.server.log import drain_log

logger = logging.getLogger(__name__)

GRACE_PERIOD_S = 170.0
"""The platform kills an instance 180 s after SIGTERM. The longest answers are streams, and those are finished."""

FLUSH_S = 0.5
"""For the last bytes of the last answers to leave the sockets' buffers."""


DEVICE_LOST_EXIT_CODE = 70
"""EX_SOFTWARE of sysexits.h."""


def exit_after_device_lost() -> None:
    """End the process once the waiters have their errors: a poisoned CUDA context is cured by nothing else."""
    threading.Timer(FLUSH_S, os._exit, [DEVICE_LOST_EXIT_CODE]).start()


def drain_on_sigterm(engine: ServedEngine, open_answers: OpenAnswers) -> None:
    """On SIGTERM take no more requests, answer those in flight, and exit 0. Call it on the server's event loop."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def start() -> None:
        if not tasks:
            tasks.add(loop.create_task(_drain_and_exit(engine, open_answers)))

    loop.add_signal_handler(signal.SIGTERM, start)


async def _drain_and_exit(engine: ServedEngine, open_answers: OpenAnswers) -> None:
    logger.warning("SIGTERM: no more requests are taken; answering those in flight.")
    engine.stop_admitting()
    try:
        await asyncio.wait_for(open_answers.none_open(), GRACE_PERIOD_S)
        await asyncio.sleep(FLUSH_S)
    except TimeoutError:
        logger.error("Requests were still in flight after %.0f s; they are cut off.", GRACE_PERIOD_S)
    drain_log()
    # Returning through the SDK would wait another 30 s, and an exception would be taken for a crash.
    os._exit(0)
