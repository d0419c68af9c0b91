"""The SDK's log: quiet unless asked."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    from loguru import Record


def quieten_sdk_log() -> None:
    """Show only warnings and errors, or what loguru's own variable `LOGURU_LEVEL` asks for.

    The SDK writes several lines a request at INFO, a level it sets itself whatever that variable says. Under many small
    requests they are a good part of the CPU time.
    """
    logger.remove()
    logger.add(sys.stdout, level=os.environ.get("LOGURU_LEVEL", "WARNING"), filter=_is_news)


def _is_news(record: Record) -> bool:
    """Not that a cord raised an error: a caller's mistake is counted, and ours has been logged where it was caught."""
    return not record["message"].startswith(("Error performing ", "Failed to initialize stream"))
