"""The chute with less patience for slow readers than anybody would want, so that a test can see its end."""

from __future__ import annotations

import batch_http.server.connections
from batch_processor import chute

__all__ = ["chute"]

batch_http.connections.GRACE_S = 2.0
batch_http.connections.MIN_BYTES_PER_S = 2**24
