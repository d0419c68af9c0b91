"""Whether the SDK's server is the Hypercorn whose faults are known here, and then their mends."""

from __future__ import annotations

import importlib.metadata
import logging

logger = logging.getLogger(__name__)

MENDED_SERIES = ("0.17", "0.18")
"""The mends replace private methods: of another series they might break what is whole. Those of 0.18 are 0.17's but for
type hints."""


def mend_hypercorn() -> bool:
    """Call before the server starts. Another series of Hypercorn is left as it is, and the log says so.

    Returns:
        Whether the mends are in place.
    """
    version = importlib.metadata.version("hypercorn")
    if version.rpartition(".")[0] not in MENDED_SERIES:
        logger.warning(
            "Hypercorn %s is here, and batch_http/http2.py and connections.py mend %s: it is left as it is. "
            "`make check-next` says what becomes of that.",
            version,
            " and ".join(MENDED_SERIES),
        )
        return False
    # Another series may lack what this imports.
    from batch_http import http1_sending
    from batch_http.connections import mend_connections
    from batch_http.http2 import mend_http2

    http1_sending.mend_sending()
    mend_http2()
    mend_connections()
    return True
