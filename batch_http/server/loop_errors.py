"""What the event loop itself reports: a lack of descriptors above all, logged once a minute instead of without end."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from fastapi import HTTPException

logger = logging.getLogger(__name__)

ACCEPT_LOG_INTERVAL_S = 60.0


def log_loop_errors(loop: asyncio.AbstractEventLoop) -> None:
    """Log what the loop reports from here.

    While descriptors lack, asyncio reports a hundred failed accepts at a time, each with a traceback.
    """
    last_logged_at = -ACCEPT_LOG_INTERVAL_S

    def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal last_logged_at
        error = context.get("exception")
        if isinstance(error, HTTPException):
            # The SDK raises it, and nobody waits for it, when a client has left.
            return
        if not (isinstance(error, OSError) and "accept" in context["message"]):
            # Its message may quote what a caller sent.
            logger.error("%s: %s", context["message"], ", ".join(_kinds(error)))
        elif time.monotonic() - last_logged_at >= ACCEPT_LOG_INTERVAL_S:
            logger.error("Connections cannot be accepted: %s.", error.strerror)
            last_logged_at = time.monotonic()

    loop.set_exception_handler(handle)


def _kinds(error: BaseException | None) -> list[str]:
    """The kinds of errors that a group of them holds, or of the one."""
    if isinstance(error, BaseExceptionGroup):
        return [kind for each in error.exceptions for kind in _kinds(each)]
    return [type(error).__name__]
