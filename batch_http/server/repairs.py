"""Repairs Hypercorn, if it is of a series whose faults are known."""

from __future__ import annotations

import importlib.metadata
import logging

logger = logging.getLogger(__name__)

KNOWN_SERIES = ("0.17", "0.18")
"""The repairs replace private methods: in another series they might break what is whole. 0.18 differs in type hints, in
trailers, which nothing here sends, and in the upgrade from HTTP/1.1, which it has repaired itself."""


def repair_hypercorn() -> bool:
    """Call before the server starts. Another series of Hypercorn is left as it is, and the log says so.

    Returns:
        Whether the repairs are applied.
    """
    version = importlib.metadata.version("hypercorn")
    if version.rpartition(".")[0] not in KNOWN_SERIES:
        logger.warning(
            "Hypercorn %s is here, and batch_http/server repairs %s: it is left as it is. `make check-next` says what "
            "becomes of that.",
            version,
            " and ".join(KNOWN_SERIES),
        )
        return False
    # Another series may lack what these import.
    from batch_http.server.connections import repair_connections
    from batch_http.server.http2 import repair_http2

    repair_http2()
    repair_connections()
    return True
