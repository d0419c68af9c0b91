"""Answers JSON to a request that asks for a stream."""

from __future__ import annotations

from typing import Any

from chutes.chute import Chute

chute = Chute(username="rehearsal", name="json-for-a-stream", image="rehearsal/none:1")


@chute.cord(public_api_path="/answer", public_api_method="POST")
def answer(self: Any, body: dict[str, Any] | None = None) -> dict[str, str]:
    return {"text": "hello"}
