"""The chute with less patience for slow readers than anybody would want, so that a test can see its end."""

from __future__ import annotations

from batch_http.server import patience
from batch_processor import chute

__all__ = ["chute"]

patience.GRACE_S = 2.0
patience.MIN_BYTES_PER_S = 2**24
