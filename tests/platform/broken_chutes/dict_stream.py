"""Yields a dict from a streaming cord."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chutes.chute import Chute

chute = Chute(username="rehearsal", name="dict-stream", image="rehearsal/none:1")


@chute.cord(public_api_path="/answer", public_api_method="POST", stream=True)
def answer(self: Any, body: dict[str, Any] | None = None) -> Iterator[dict[str, str]]:
    yield {"status": "started"}
