"""What the event loop itself reports, a lack of descriptors above all: told now and then, not without end."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from fastapi import HTTPException

logger = logging.getLogger(__name__)

ACCEPT_LOG_INTERVAL_S = 60.0


def tell_loop_errors(loop: asyncio.AbstractEventLoop) -> None:
    """Log what the loop reports from here."""
    loop.set_exception_handler(AcceptErrors().handle)


class AcceptErrors:
    """Exception handler of an event loop: says now and then that connections cannot be accepted.

    asyncio tells it a hundred times at a time, each with a traceback, and goes on for as long as descriptors lack.
    """

    def __init__(self) -> None:
        self._num_untold = 0
        self._told_at = -ACCEPT_LOG_INTERVAL_S

    def handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """See `asyncio.loop.call_exception_handler`."""
        error = context.get("exception")
        if isinstance(error, HTTPException):
            # The SDK's own word, which nobody waits for, that a client has left.
            return
        if not (isinstance(error, OSError) and "accept" in context["message"]):
            # Its message may quote what a caller sent.
            logger.error("%s: %s", context["message"], ", ".join(_kinds(error)))
            return
        self._num_untold += 1
        if time.monotonic() - self._told_at >= ACCEPT_LOG_INTERVAL_S:
            logger.error("Connections cannot be accepted (%d attempts): %s.", self._num_untold, error.strerror)
            self._told_at, self._num_untold = time.monotonic(), 0


def _kinds(error: BaseException | None) -> list[str]:
    """The kinds of errors that a group of them holds, or of the one."""
    if isinstance(error, BaseExceptionGroup):
        return [kind for each in error.exceptions for kind in _kinds(each)]
    return [type(error).__name__]
