"""Mends two faults of the SDK's server, Hypercorn 0.17, on the one HTTP/2 connection that the platform keeps open.

Either of them fails every request in flight on it, and each failure counts against the instance.
"""

from __future__ import annotations

import sys
from typing import Any

from h2.events import DataReceived
from hypercorn.config import Config
from hypercorn.protocol.h2 import H2Protocol

_handle_events = H2Protocol._handle_events


def mend_http2() -> None:
    """Call before the server starts."""
    # After 1,000 requests Hypercorn says goodbye, and the platform's HTTP client gives up what is in flight.
    Config.keep_alive_max_requests = sys.maxsize
    H2Protocol._handle_events = _handle_events_of_open_streams  # type: ignore[method-assign]


async def _handle_events_of_open_streams(self: Any, events: list[Any]) -> None:
    """Hypercorn's own handler, but a body that comes after its request's answer (a 429, say) is dropped.

    Hypercorn looks up the stream, which is gone, and the KeyError closes the connection.
    """
    for event in events:
        if isinstance(event, DataReceived) and event.stream_id not in self.streams:
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        else:
            await _handle_events(self, [event])
    await self._flush()
