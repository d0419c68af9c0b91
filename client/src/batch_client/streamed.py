"""Reading `/process-batch-stream` for programs that call it themselves: a stream may break, or start over, on its way.

Through the platform a stream whose instance is lost ends like any other, with a line `{"error": ...}`; or another
instance answers the request anew, and the stream holds both answers, one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from batch_client.errors import FaultError


def results_of_stream(lines: Iterable[str | bytes]) -> list[dict[str, Any]]:
    """The results of a stream's texts, in order, each once. `lines` are the stream's, as any HTTP client gives them.

    Raises:
        FaultError: the stream broke, or ended before it was complete; to ask again is right.
    """
    results: list[dict[str, Any]] = []
    num_texts, is_complete = 0, False
    for line in lines:
        if not line.strip():
            continue
        event = _event(line)
        if "error" in event:
            raise FaultError(f"the stream broke after {len(results)} texts: {event['error']}")
        if event.get("status") == "started":
            # Whatever came before is sent again.
            results, num_texts, is_complete = [], int(event.get("total_texts", 0)), False
        elif event.get("status") == "batch_complete":
            results += event.get("partial_results", [])
        is_complete = is_complete or event.get("status") == "completed"
    if not is_complete or len(results) != num_texts:
        raise FaultError(f"the stream ended after {len(results)} of {num_texts} texts")
    return results


def _event(line: str | bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError as error:
        raise FaultError(f"the stream holds a line that is no JSON: {line[:80]!r}") from error
    if not isinstance(event, dict):
        raise FaultError(f"the stream holds a line that is no event: {line[:80]!r}")
    return event
